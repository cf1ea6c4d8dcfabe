#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tacit/concepts/batch_source.hpp"
#include "tacit/concepts/distribution_policy.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/type_name.hpp"
#include "tacit/core/units.hpp"
#include "tacit/events/callback_pack.hpp"
#include "tacit/schedule/field.hpp"
#include "tacit/state/visit.hpp"
#include "tacit/task/field.hpp"
#include "tacit/task/task.hpp"
#include "tacit/train/composition.hpp"
#include "tacit/train/options.hpp"

/// What the ranks of a run must have alike, compared once at its start: different lengths, seeds or options would tear them apart in silence.
namespace tacit::inline v0::detail {

/// Lines `name = value`.
class Terms {
 public:
  std::string const& text() const noexcept { return text_; }

  void add(std::string_view name, std::string_view value) {
    text_.append(name).append(" = ");
    for (char c : value) text_ += c == '\n' ? ' ' : c;
    text_ += '\n';
  }
  void add(std::string_view name, std::int64_t value) { add(name, std::string_view{std::to_string(value)}); }
  void add(std::string_view name, double value) {
    std::array<char, 32> digits{};
    add(name, std::string_view{digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr});
  }
  template <class Unit>
  void add(std::string_view name, Count<Unit> value) {
    add(name, value.is_set() ? std::string_view{std::to_string(value.value())} : std::string_view{"unset"});
  }
  void add(std::string_view name, Seed seed) { add(name, std::string_view{seed.is_set() ? std::to_string(seed.value_or(0)) : "unset"}); }
  void add_lines(std::string const& lines) { text_ += lines; }

 private:
  std::string text_{};
};

using term = std::pair<std::string_view, std::string_view>;
inline std::vector<term> terms_in(std::string_view text) {
  std::vector<term> terms;
  while (!text.empty()) {
    std::string_view const line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    std::size_t const at = line.find(" = ");
    if (at != std::string_view::npos) terms.emplace_back(line.substr(0, at), line.substr(at + 3));
  }
  return terms;
}

/// The terms that differ between two ranks, with both sides; empty where all are alike.
inline std::string difference(std::string_view ours, std::string_view theirs, std::size_t rank) {
  constexpr std::size_t most_shown = 5;
  constexpr std::size_t longest = 100;
  auto const shown = [](term const* found) {
    return found == nullptr ? std::string{"none"} : std::string{found->second.substr(0, longest)} + (found->second.size() > longest ? "..." : "");
  };
  std::vector<term> const a = terms_in(ours);
  std::vector<term> const b = terms_in(theirs);
  std::string text;
  std::size_t count = 0;
  auto const compare = [&](std::string_view name, term const* one, term const* other) {
    if (one != nullptr && other != nullptr && one->second == other->second) return;
    if (++count > most_shown) return;
    text.append(text.empty() ? "" : "; ").append(name).append(": rank 0 has ").append(shown(one)).append(", rank ").append(std::to_string(rank)).append(" has ").append(shown(other));
  };
  auto const find = [](std::vector<term> const& terms, std::string_view name) {
    auto const at = std::ranges::find(terms, name, &term::first);
    return at == terms.end() ? nullptr : &*at;
  };
  for (term const& one : a) compare(one.first, &one, find(b, one.first));
  for (term const& other : b) {
    if (find(a, other.first) == nullptr) compare(other.first, nullptr, &other);
  }
  if (count > most_shown) text.append("; and ").append(std::to_string(count - most_shown)).append(" more");
  return text;
}

/// Gathers every rank's terms and compares them; all ranks come to the same result.
/// Throws: DistributedError that names what differs and shows both sides, or that not all ranks made this call.
template <class Distribution>
void require_agreement(Distribution& distribution, Terms const& terms, char const* call) {
  std::vector<std::string> all;
  try {
    // Ranks come to the start of a run when their data are loaded: a distribution may wait longer for that than for a collective.
    if constexpr (gathers_late<Distribution>) {
      all = distribution.meet(terms.text());
    } else {
      all = distribution.gather(std::string_view{terms.text()});
    }
  } catch (DistributedError const& error) {
    std::throw_with_nested(DistributedError{"TACIT-RX29", message({"rank ", distribution.rank(), " of ", distribution.world_size(), " called ", call, ", and not all ranks did: ", error.problem()}),
                                            call, "call it on every rank; only what no other rank takes part in belongs under is_main_process()"});
  }
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    std::string const differs = difference(all[0], all[rank], rank);
    if (!differs.empty()) throw DistributedError{"TACIT-RX28", "the ranks differ: " + differs, call, "give every rank the same data, options and schedules; each takes its own part of the data itself"};
  }
}

// --- the terms of a run ---

/// Adds what a part's `visit_config` shows; numbers with all their digits.
class ConfigTerms {
 public:
  ConfigTerms(Terms& terms, std::string prefix) : terms_{&terms}, prefix_{std::move(prefix)} {}

  template <class T>
  void operator()(std::string_view key, T const& value) const {
    std::string const name = prefix_ + "." + std::string{key};
    if constexpr (visitable_config<T>) {
      T::visit_config(value, ConfigTerms{*terms_, name});
    } else if constexpr (std::floating_point<T>) {
      terms_->add(name, static_cast<double>(value));
    } else if constexpr (!visitable_state<T>) {
      PrintingVisitor print{prefix_};
      print(key, value);
      terms_->add_lines(print.text());
    }
  }

 private:
  Terms* terms_;
  std::string prefix_;
};
template <class Part>
void add_config(Terms& terms, std::string const& name, Part const& part) {
  if constexpr (visitable_config<Part>) Part::visit_config(part, ConfigTerms{terms, name});
}

template <class Source>
void add_source(Terms& terms, std::string const& what, Source const& source, int world_size, std::int64_t most = -1) {
  if constexpr (sized_batch_source<Source>) {
    std::int64_t const batches = source.size(world_size);
    terms.add("batches of an epoch of " + what, most >= 0 ? std::min(batches, most) : batches);
  }
  if constexpr (requires { { source.samples() } -> std::same_as<std::int64_t>; }) terms.add("samples of " + what, source.samples());
  if constexpr (requires { source.options().batch_size->value(); }) {
    auto const& options = source.options();
    terms.add("batch size of " + what, *options.batch_size);
    terms.add("shuffle of " + what, std::int64_t{options.shuffle});
    terms.add("drop_last of " + what, std::int64_t{options.drop_last});
    terms.add("loader's seed of " + what, options.seed);
  }
}

inline void add_options(Terms& terms, TrainOptions const& options, std::int64_t epochs_begun) {
  terms.add("seed", Seed{options.seed.value_or(0)});
  terms.add("first epoch", Epochs{options.first_epoch.value_or(epochs_begun)});
  terms.add("epochs", options.epochs);
  terms.add("limit.updates", options.limit.updates);
  terms.add("limit.micro_batches", options.limit.micro_batches);
  terms.add("limit.samples", options.limit.samples);
  terms.add("limit.tokens", options.limit.tokens);
  terms.add("limit.duration", std::int64_t{options.limit.duration.count()});
  terms.add("gradient_accumulation", options.gradient_accumulation);
  terms.add("clip.norm", options.clip.norm);
  terms.add("clip.value", options.clip.value);
  terms.add("evaluation.every_epochs", options.evaluation.every_epochs);
  terms.add("evaluation.every_updates", options.evaluation.every_updates);
  terms.add("log_every", options.log_every);
}

/// A schedule's phases, and its values at their ends and in their middles.
template <class Field>
void add_schedule(Terms& terms, Field const& field, schedule::RunLength run) {
  auto const bound = schedule::resolve(field.schedule, run);
  std::string text;
  for (auto const& phase : bound.phases()) {
    text.append(schedule::name_of(phase.shape)).append(" from update ").append(std::to_string(phase.begin.value()));
    std::int64_t const last = phase.is_endless ? phase.begin.value() + 1000 : phase.end.value();
    for (std::int64_t at : {phase.begin.value(), phase.begin.value() + (last - phase.begin.value()) / 2, last}) {
      std::array<char, 32> digits{};
      text.append(" ").append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), bound(UpdateIndex{at})).ptr);
    }
    text.append(", ");
  }
  std::string name{Field::name.view()};
  terms.add(name + " schedule" + (field.group.empty() ? "" : " of " + std::string{field.group}), text);
}

/// Frozen parameters are shared one by one, so that all ranks must have as many.
template <class Core>
void add_frozen(Terms& terms, Core& core) {
  std::int64_t count = 0;
  for_each_model(core.task(), [&](auto& model) {
    for (auto&& item : model.named_parameters()) count += Core::traits::requires_grad(item.value()) ? 0 : 1;
  });
  terms.add("frozen parameters", count);
}
template <std::size_t I, class Core>
void add_phase(Terms& terms, Core& core) {
  auto& phase = core.template phase<I>();
  std::string const name = Core::phase_count == 1 ? "optimizer" : "optimizer of phase " + std::to_string(I);
  terms.add("parameters, " + name, static_cast<std::int64_t>(phase.parameters.size()));
  for_each_group(phase.optimizer, [&](std::string_view group, auto& optimizer) {
    std::string const part = group.empty() ? name : name + " " + std::string{group};
    if constexpr (requires { optimizer.options; }) {
      add_config(terms, part, optimizer.options);
    } else {
      add_config(terms, part, optimizer);
      if constexpr (has_field<"lr", std::remove_reference_t<decltype(optimizer)>>) terms.add(part + ".lr", read_field<"lr">(optimizer));
    }
  });
}
/// Of callbacks that record or watch metrics or act on all ranks: the others may differ, in the path of a log say.
template <class Callback, class Bound>
void add_callback(Terms& terms, Bound const& bound) {
  if constexpr (recorded_tags_t<Callback>::size + watched_tags_t<Callback>::size > 0 ||
                acts_on_all_ranks<unwrap_t<Callback>>()) {
    add_config(terms, type_name<unwrap_t<Callback>>(), bound);
  }
}
template <class Core, class... C, std::size_t... I>
void add_callbacks(Terms& terms, Core& core, list<C...>, std::index_sequence<I...>) {
  (add_callback<C>(terms, core.callbacks().template get<I>()), ...);
}

template <class Core>
void add_composition(Terms& terms, Core& core) {
  using composition = typename Core::composition;
  terms.add("composition", std::string_view{type_name<composition>()});
  terms.add("precision", std::string_view{std::string{core.precision().name()}});
  add_config(terms, "precision", core.precision());
  [&]<std::size_t... I>(std::index_sequence<I...>) { (add_phase<I>(terms, core), ...); }(std::make_index_sequence<Core::phase_count>{});
  add_frozen(terms, core);
  add_callbacks(terms, core, typename composition::callbacks{}, std::make_index_sequence<composition::callbacks::size>{});
}

template <class Core>
void begin_distributed(Core& core) {
  if constexpr (begins_runs<typename Core::distribution_type>) core.distribution().begin_run();
}

/// Buffers become rank 0's, running statistics say: an evaluation, an average and a saved model are then the same on all ranks.
template <class Core>
void share_buffers([[maybe_unused]] Core& core) {
  if constexpr (!Core::is_single) {
    for_each_model(core.task(), [&](auto& model) {
      if constexpr (requires { core.distribution().share_buffers(model); }) core.distribution().share_buffers(model);
    });
  }
}

template <std::size_t I, class Core>
void share_phase(Core& core) {
  core.distribution().prepare_parameters(core.template phase<I>().parameters);
  for (auto&& item : task_model<I>(core.task()).named_parameters()) {
    if (!Core::traits::requires_grad(item.value())) core.distribution().broadcast(item.value(), 0);
  }
}
/// The models become rank 0's, with frozen parameters and buffers. Weights may have been loaded on one rank, or an
/// exception ended the last run at another update here than there: then gradients of two models would be averaged.
/// Cost: a broadcast of the models, one of each frozen parameter; nothing on one process.
template <class Core>
void share_models([[maybe_unused]] Core& core) {
  if constexpr (!Core::is_single) {
    if (core.world_size() == 1) return;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (share_phase<I>(core), ...);
    }(std::make_index_sequence<Core::phase_count>{});
    share_buffers(core);
  }
}
/// Masters become rank 0's. Only the ranks whose model was replaced have made theirs again, from fewer digits.
template <class Core>
void share_masters([[maybe_unused]] Core& core) {
  if constexpr (!Core::is_single && Core::keeps_masters) {
    if (core.world_size() == 1) return;
    auto const share = [&core](auto& parameters) {
      for (auto& parameter : parameters) {
        if (!Core::traits::same(parameter.master, parameter.model)) core.distribution().broadcast(parameter.master, 0);
      }
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (share(core.template phase<I>().parameters), ...);
    }(std::make_index_sequence<Core::phase_count>{});
  }
}

/// The next batch of data whose length nobody knows: false once no rank has one. A rank whose data ended before the others' has none.
template <class Core, class Source, class Batch>
bool next_of_unknown(Core& core, Source& source, Batch& into) {
  bool const more = source.next(into);
  return core.world_size() == 1 ? more : core.distribution().agree(more ? 1 : 0) != 0;
}

/// Called once on every rank when a run of training begins; `eval_sets(terms)` adds those that it evaluates.
template <class Core, class Source, class EvalSets, class... Extra>
void agree_on_training(Core& core, char const* call, Source const& source, TrainOptions const& options, EvalSets const& eval_sets, Extra const&... extra) {
  if constexpr (!Core::is_single) {
    begin_distributed(core);
    if (core.world_size() == 1) return;
    Terms terms;
    terms.add("call", std::string_view{call});
    add_options(terms, options, core.epochs_begun());
    add_source(terms, "the training data", source, core.world_size(), core.batch_limits().train.value_or(-1));
    eval_sets(terms);
    auto const add_extra = [&](auto const& one) {
      if constexpr (is_field_schedule_v<std::remove_cvref_t<decltype(one)>>) add_schedule(terms, one, {core.plan().updates, core.plan().updates_per_epoch});
    };
    (add_extra(extra), ...);
    add_composition(terms, core);
    require_agreement(core.distribution(), terms, call);
  }
}

/// The same for an evaluation, also for one inside a run: rank 0 alone would leave the others behind.
template <class Core, class Source>
void agree_on_evaluation(Core& core, char const* call, Source const& source, std::string_view set, MicroBatches limit) {
  if constexpr (!Core::is_single) {
    if (core.world_size() == 1) return;
    Terms terms;
    terms.add("call", std::string_view{call});
    terms.add("eval set", set);
    terms.add("limit", limit);
    add_source(terms, "the eval set", source, core.world_size(), core.batch_limits().eval.value_or(-1));
    add_frozen(terms, core);
    require_agreement(core.distribution(), terms, call);
  }
}

}  // namespace tacit::inline v0::detail
