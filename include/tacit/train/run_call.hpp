#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tacit/concepts/dataset.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/fixed_string.hpp"
#include "tacit/core/units.hpp"
#include "tacit/data/range_source.hpp"
#include "tacit/data/shared_source.hpp"
#include "tacit/metric/history.hpp"
#include "tacit/train/agreement.hpp"
#include "tacit/train/checks/call.hpp"
#include "tacit/train/eval_loop.hpp"
#include "tacit/train/loop.hpp"
#include "tacit/train/make_source.hpp"
#include "tacit/train/options.hpp"
#include "tacit/train/pass.hpp"
#include "tacit/train/plan_run.hpp"
#include "tacit/train/result.hpp"
#include "tacit/train/run.hpp"
#include "tacit/train/scheduled.hpp"
#include "tacit/train/scopes.hpp"

namespace tacit::inline v0 {

// What `train` and `evaluate` do once their types are known to be right.

namespace detail {

template <class Holder, fixed_string Name>
struct NamedEval {
  Holder holder;
  static constexpr std::string_view name = Name.view();
};
/// Only data sets take a batch size; loaders and ranges make batches of their own.
template <class Data>
inline constexpr bool takes_batch_size = data::data_kind_of_v<Data> == data::data_kind::dataset;
template <fixed_string Name, class Data>
inline constexpr bool takes_batch_size<EvalData<Name, Data>> = takes_batch_size<typename EvalData<Name, Data>::data_type>;
/// `to_others` is given to what takes no batch size, which refuses it where it is set.
template <class Extra>
auto make_eval(Extra& extra, Samples batch_size, Samples to_others) {
  if constexpr (is_eval_data_v<std::remove_cvref_t<Extra>>) {
    using data_type = typename std::remove_cvref_t<Extra>::data_type;
    auto holder = make_source(static_cast<data_type>(extra.data.get()), takes_batch_size<data_type> ? batch_size : to_others,
                              false, 0, "TrainOptions::eval_per_device_batch_size");
    return std::tuple{NamedEval<decltype(holder), std::remove_cvref_t<Extra>::name>{std::move(holder)}};
  } else {
    return std::tuple{};
  }
}
template <class Extra>
auto field_of(Extra const& extra) {
  if constexpr (is_field_schedule_v<Extra>) {
    return std::tuple{extra};
  } else {
    return std::tuple{};
  }
}
/// Throws: ConfigError if an evaluation would disturb the epoch that trains.
template <class Source, class Valid, class Named>
void require_undisturbed([[maybe_unused]] Source const& source, [[maybe_unused]] Valid const& valid, [[maybe_unused]] Named& named) {
  if constexpr (!restorable_batch_source<Source>) {
    void const* other = nullptr;
    if constexpr (batch_source<std::remove_const_t<Valid>>) other = data::detail::disturbed_by_passes(valid);
    std::apply(
        [&](auto&... one) {
          data::detail::refuse_shared(data::detail::disturbed_by_passes(source),
                                      {other, data::detail::disturbed_by_passes(source_in(one.holder))...});
        },
        named);
  }
}
template <class Core, class Source>
void evaluate_set(Core& core, Source& source, std::string_view set, bool intermediate, MicroBatches limit) {
  agree_on_evaluation(core, "evaluation inside a run", source, set, limit);
  data::detail::PlaceKeeper<Source> const place{source};
  EvalPass<Core, Source> pass{core, source, set, intermediate, limit};
  eval_epoch(pass);
}
template <class Core, class Named>
void evaluate_named(Core& core, [[maybe_unused]] Named& named, bool intermediate, [[maybe_unused]] std::string_view as) {
  [[maybe_unused]] auto const name = [as](std::string_view set) {
    return as.empty() ? std::string{set} : message({as, "/", set});
  };
  std::apply(
      [&](auto&... one) { (evaluate_set(core, source_in(one.holder), name(one.name), intermediate, unset), ...); }, named);
}

template <class Core, class Source, class Evaluate, class Schedules>
RunResult run_training_with(Core& core, Source& source, TrainOptions const& options, Evaluate evaluate,
                            Schedules& schedules) {
  TrainPass<Core, Source, Evaluate, Schedules> pass{core, source, options, std::move(evaluate), schedules};
  core.begin_training();
  try {
    train_run(pass);
    share_buffers(core);
  } catch (...) {
    core.clear_gradients();
    core.note_failure();
    throw;
  }
  return end_run(core, pass);
}

/// A call of `train` whose types are right; `Valid` is void and `valid` null where there is no plain eval set.
template <class Data, class Valid, class Core, class ValidPointer, class... Extra>
RunResult run_training(Core& core, Data&& data, [[maybe_unused]] ValidPointer valid, TrainOptions const& options,
                       Extra&&... extra) {
  check(options);
  require_limit(options);
  constexpr bool evaluates = !std::is_void_v<Valid> || eval_data_of<std::remove_cvref_t<Extra>...>::size > 0;
  if constexpr (!evaluates) {
    require_no_evaluation_options(options, "leave it out, or call train(train, valid, options)");
  }
  RunGuard const guard{core};
  core.begin_run(options.sink);
  std::uint64_t const seed = options.seed.value_or(0);
  auto holder = make_source(std::forward<Data>(data), options.per_device_batch_size, true, seed,
                            "TrainOptions::per_device_batch_size");
  auto& source = source_in(holder);
  Samples const eval_batch_size =
      options.eval_per_device_batch_size.is_set() ? options.eval_per_device_batch_size : options.per_device_batch_size;
  if constexpr (planned_batch_source<std::remove_cvref_t<decltype(source)>>) {
    // The plan asks for the batches' sizes, which a source knows once an epoch has started.
    if (options.limit.samples.is_set()) source.start_epoch(seed, EpochIndex{0}, core.rank(), core.world_size());
  }
  plan_training(core, source, options);
  // A loader keeps its size where the option is for another set; where it is for none, that is told.
  constexpr bool some_set_takes_size = takes_batch_size<Valid> || (takes_batch_size<std::remove_cvref_t<Extra>> || ...);
  Samples const to_others = some_set_takes_size ? Samples{unset} : options.eval_per_device_batch_size;
  auto named = std::tuple_cat(make_eval(extra, eval_batch_size, to_others)...);
  auto schedules = std::apply(
      [&](auto const&... fields) {
        return Scheduled<Core, std::remove_cvref_t<decltype(fields)>...>{
            core, {core.plan().updates, core.plan().updates_per_epoch}, fields...};
      },
      std::tuple_cat(field_of(extra)...));
  [[maybe_unused]] auto const eval_terms = [&](auto& terms) {
    [[maybe_unused]] std::int64_t const most = core.batch_limits().eval.value_or(-1);
    std::apply(
        [&](auto&... one) {
          (add_source(terms, "eval set " + std::string{one.name}, source_in(one.holder), core.world_size(), most), ...);
        },
        named);
  };
  if constexpr (std::is_void_v<Valid>) agree_on_training(core, "train", source, options, eval_terms, extra...);
  if constexpr (!evaluates) {
    return run_training_with(core, source, options, no_evaluation{}, schedules);
  } else {
    if constexpr (std::is_void_v<Valid>) {
      require_undisturbed(source, nullptr, named);
      return run_training_with(core, source, options, [&named](Core& c, bool intermediate, std::string_view as) {
        c.require_own_evaluation(as);
        evaluate_named(c, named, intermediate, as);
      }, schedules);
    } else {
      auto valid_holder =
          make_source(std::forward<Valid>(*valid), takes_batch_size<Valid> ? eval_batch_size : to_others, false, seed,
                      "TrainOptions::eval_per_device_batch_size");
      auto& valid_source = source_in(valid_holder);
      plan_evaluation(core, valid_source);
      agree_on_training(core, "train", source, options, [&](auto& terms) {
        add_source(terms, "the eval set", valid_source, core.world_size(), core.batch_limits().eval.value_or(-1));
        eval_terms(terms);
      }, extra...);
      require_undisturbed(source, valid_source, named);
      return run_training_with(core, source, options, [&named, &valid_source](Core& c, bool intermediate, std::string_view as) {
        c.require_own_evaluation(as);
        evaluate_set(c, valid_source, as, intermediate, unset);
        evaluate_named(c, named, intermediate, as);
      }, schedules);
    }
  }
}

/// A call of `evaluate` whose types are right.
template <class Core, class Data>
EvalResult run_evaluation(Core& core, Data&& data, EvalOptions const& options) {
  check(options);
  RunGuard const guard{core};
  core.begin_run(options.sink);
  auto holder = make_source(std::forward<Data>(data), options.per_device_batch_size, false, 0,
                            "EvalOptions::per_device_batch_size");
  auto& source = source_in(holder);
  core.plan() = base_plan(core);
  plan_evaluation(core, source, options.limit);
  agree_on_evaluation(core, "evaluate", source, "", options.limit);
  History metrics;
  metrics.begin_run();
  core.record_to(&metrics);
  data::detail::PlaceKeeper<std::remove_reference_t<decltype(source)>> const place{source};
  StopReason reason = StopReason::completed;
  try {
    EvalPass<Core, std::remove_reference_t<decltype(source)>> pass{core, source, "", false, options.limit};
    eval_run(pass);
    reason = agreed_reason(core, pass.cut_short_by());
    if (reason == StopReason::requested) core.forget_outside_stop();  // on all ranks, whichever of them was cut short
  } catch (...) {
    core.note_failure();
    throw;
  }
  metrics.end_run(reason, Updates{0});
  return EvalResult{std::move(metrics), reason};
}

}  // namespace detail

}  // namespace tacit::inline v0
