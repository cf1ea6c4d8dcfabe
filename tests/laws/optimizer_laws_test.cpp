#include <algorithm>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fake/tensor.hpp"
#include "tacit/callbacks/ema.hpp"
#include "tacit/callbacks/reduce_on_plateau.hpp"
#include "tacit/callbacks/swa.hpp"
#include "tacit/state/optimizer_state.hpp"
#include "tacit/task/optim/groups.hpp"
#include "tacit/task/optim/lookahead.hpp"
#include "tacit/train/trainer.hpp"

// The laws of optimizers, asked of wrappers around wrappers: each does what a page of plain numbers does, whatever
// state the optimizers inside keep for whichever parameter.

namespace optim = tacit::optim;
using tacit::CallbackPack;
using Set = tacit::basic_parameter_set<fake::Tensor>;
using tacit::detail::for_each_group;
using tacit::detail::read_field;
using tacit::detail::write_field;

namespace optimizer_laws_tests {
namespace {

class BoundRule;
/// An optimizer whose options decide which state it keeps, as those of Sgd, RMSprop and Adam do.
struct Rule {
  using slot = tacit::slot::optimizer;
  double lr = 0.1;
  double momentum = 0.0;
  bool squares = false;

  BoundRule bind(Set& set) const;
};
class BoundRule {
 public:
  static constexpr bool maskable = true;
  Rule options;

  BoundRule(Rule const& recipe, Set& set) : options{recipe} {
    for (auto& one : set) one.slots.clear();
    parameters_changed(set);
  }
  void step(Set& set, tacit::update_input<fake::Tensor> const& input = {}) {
    if (input.mask != nullptr && input.mask->node().values[0] != 0.0) return;  // on the device
    for (auto& one : set) {
      if (one.slots.size() != names().size())
        throw tacit::UsageError{"TEST", "another number of slots", "Rule", "look"};
      fake::Tensor const& grad = one.model->grad;
      if (!grad.defined()) continue;
      for (std::size_t i = 0; i < grad->values.size(); ++i) {
        double change = grad->values[i];
        if (options.momentum != 0.0)
          change = one.slots[0]->values[i] = options.momentum * one.slots[0]->values[i] + change;
        if (options.squares) {
          double& square = one.slots.back()->values[i];
          square = 0.5 * square + grad->values[i] * grad->values[i];
          change /= 1.0 + square;
        }
        one.master->values[i] -= options.lr * change;
      }
    }
  }
  void parameters_changed(Set& set) {
    for (auto& one : set) {
      while (one.slots.size() < names().size())
        one.slots.emplace_back(std::vector<double>(one.model->values.size(), 0.0));
    }
    set.set_slot_names(names());
  }
  static void visit_state(auto& self, auto&& visit) { visit("lr", self.options.lr); }

 private:
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    if (options.momentum != 0.0) all.emplace_back("momentum");
    if (options.squares) all.emplace_back("square");
    return all;
  }
};
BoundRule Rule::bind(Set& set) const { return {*this, set}; }

// The page of plain numbers: the optimizer of one number, whose gradient may be missing.
struct Plain {
  virtual ~Plain() = default;
  virtual double step(double w, std::optional<double> gradient) = 0;
  virtual void scale_rate(double factor) = 0;
};
struct PlainRule : Plain {
  Rule rule;
  double momentum = 0.0;
  double square = 0.0;
  explicit PlainRule(Rule const& given) : rule{given} {}
  double step(double w, std::optional<double> gradient) override {
    if (!gradient) return w;
    double change = *gradient;
    if (rule.momentum != 0.0) change = momentum = rule.momentum * momentum + change;
    if (rule.squares) {
      square = 0.5 * square + *gradient * *gradient;
      change /= 1.0 + square;
    }
    return w - rule.lr * change;
  }
  void scale_rate(double factor) override { rule.lr *= factor; }
};
/// A parameter that came late has the count that the optimizer has by then.
struct PlainLookahead : Plain {
  std::unique_ptr<Plain> inner;
  std::int64_t every;
  double alpha;
  double slow;
  std::int64_t count;
  PlainLookahead(std::unique_ptr<Plain> in, std::int64_t n, double a, double w, std::int64_t before)
      : inner{std::move(in)}, every{n}, alpha{a}, slow{w}, count{before} {}
  double step(double w, std::optional<double> gradient) override {
    w = inner->step(w, gradient);
    if (++count % every == 0) w = slow = slow + alpha * (w - slow);
    return w;
  }
  void scale_rate(double factor) override { inner->scale_rate(factor); }
};
std::unique_ptr<Plain> plain(Rule const& rule) { return std::make_unique<PlainRule>(rule); }
std::unique_ptr<Plain> ahead(std::unique_ptr<Plain> inner, std::int64_t every, double alpha, double w,
                             std::int64_t before) {
  return std::make_unique<PlainLookahead>(std::move(inner), every, alpha, w, before);
}

/// One number's optimizer by the name of its parameter; `w` is the number when it came, after `before` updates.
using Make = std::function<std::unique_ptr<Plain>(std::string const& name, double w, std::int64_t before)>;

Rule const heavy{.lr = 0.1, .momentum = 0.9};
Rule const light{.lr = 0.05};
Rule const rooted{.lr = 0.2, .momentum = 0.5, .squares = true};
Rule const squared{.lr = 0.1, .squares = true};

bool is_bias(std::string const& name) { return name.find("bias") != std::string::npos; }
bool is_head(std::string const& name) { return name.starts_with("head."); }
bool takes_bias(optim::ParameterInfo const& info) { return is_bias(std::string{info.name}); }
bool takes_head(optim::ParameterInfo const& info) { return is_head(std::string{info.name}); }

/// Groups of unequal state; what they are for is decided by name.
template <class Recipe>
optim::Groups<Recipe> unequal(Recipe base, Recipe bias, Recipe head) {
  return {.base = std::move(base),
          .groups = {{.name = "bias", .takes = takes_bias, .options = std::move(bias), .may_be_empty = true},
                     {.name = "head", .takes = takes_head, .options = std::move(head), .may_be_empty = true}}};
}
Rule const& rule_of(std::string const& name, Rule const& base, Rule const& bias, Rule const& head) {
  return is_bias(name) ? bias : is_head(name) ? head : base;
}

using Ahead = optim::Lookahead<Rule>;

/// Calls law(recipe, make) for every optimizer of the list.
void for_each_optimizer(auto const& law) {
  for (Rule const& rule : {heavy, light, rooted, squared}) {
    law(rule, [rule](std::string const&, double, std::int64_t) { return plain(rule); });
    law(Ahead{.inner = rule, .every = 3, .alpha = 0.25},
        [rule](std::string const&, double w, std::int64_t before) { return ahead(plain(rule), 3, 0.25, w, before); });
    law(optim::Lookahead<Ahead>{.inner = {.inner = rule, .every = 2, .alpha = 0.5}, .every = 3, .alpha = 0.25},
        [rule](std::string const&, double w, std::int64_t before) {
          return ahead(ahead(plain(rule), 2, 0.5, w, before), 3, 0.25, w, before);
        });
  }
  for (auto const& [base, bias, head] : {std::tuple{heavy, light, rooted},
                                         {light, heavy, light},
                                         {rooted, squared, heavy},
                                         {heavy, heavy, heavy},
                                         {light, light, squared}}) {
    law(unequal(base, bias, head),
        [=](std::string const& name, double, std::int64_t) { return plain(rule_of(name, base, bias, head)); });
    law(optim::Lookahead<optim::Groups<Rule>>{.inner = unequal(base, bias, head), .every = 2},
        [=](std::string const& name, double w, std::int64_t before) {
          return ahead(plain(rule_of(name, base, bias, head)), 2, 0.5, w, before);
        });
    auto const inside = unequal<Ahead>({.inner = base, .every = 3}, {.inner = bias, .every = 2, .alpha = 0.25},
                                       {.inner = head, .every = 4});
    auto const by_hand = [=](std::string const& name, double w, std::int64_t before) {
      return ahead(plain(rule_of(name, base, bias, head)),
                   is_bias(name)   ? 2
                   : is_head(name) ? 4
                                   : 3,
                   is_bias(name) ? 0.25 : 0.5, w, before);
    };
    law(inside, by_hand);
    law(optim::Lookahead<optim::Groups<Ahead>>{.inner = inside, .every = 3, .alpha = 0.75},
        [=](std::string const& name, double w, std::int64_t before) {
          return ahead(by_hand(name, w, before), 3, 0.75, w, before);
        });
  }
}

/// Parameters, their gradients, and beside each number its plain optimizer.
class Bench {
 public:
  explicit Bench(Make make) : make_{std::move(make)} {
    add("body.weight", {1.0, -0.5, 2.0});
    add("body.bias", {0.25});
    add("head.weight", {-1.0, 0.75});
    add("head.empty", {});
    add("body.scale", {0.5});
    add("tail.bias", {1.0, 1.5});
  }
  void add(std::string const& name, std::vector<double> values) {
    set.add(name, fake::Tensor{std::move(values), true});
    fake::Tensor const& tensor = set.find(name)->model;
    expected_[name] = tensor.values();
    plain_[name].clear();
    for (double const w : tensor.values()) plain_[name].push_back(make_(name, w, steps_));
  }
  void remove(std::string const& name) { set.remove(name); }
  /// New gradients; now and then a parameter has none.
  void gradients() {
    ++round_;
    std::size_t place = 0;
    for (auto& one : set) {
      ++place;
      tacit::tensor_traits<fake::Tensor>::clear_grad(one.model);
      if ((round_ + static_cast<std::int64_t>(place)) % 5 == 0) continue;
      std::vector<double> values;
      for (std::size_t i = 0; i < one.model->values.size(); ++i)
        values.push_back(std::sin(static_cast<double>(round_) * 1.7 + static_cast<double>(place + 3 * i)));
      one.model->grad = fake::Tensor{values};
    }
  }
  void step_by_hand() {
    ++steps_;
    for (auto const& one : set) {
      auto& all = plain_[one.name];
      for (std::size_t i = 0; i < all.size(); ++i) {
        std::optional<double> gradient;
        if (one.model->grad.defined()) gradient = one.model->grad->values[i];
        expected_[one.name][i] = all[i]->step(expected_[one.name][i], gradient);
      }
    }
  }
  void scale_rates(double factor) {
    for (auto& [name, all] : plain_) {
      for (auto& one : all) one->scale_rate(factor);
    }
  }
  /// Begins anew from the weights of now.
  void restart() {
    steps_ = 0;
    for (auto const& one : set) {
      auto& all = plain_[one.name];
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = make_(one.name, one.model->values[i], 0);
    }
  }
  void check() const {
    for (auto const& one : set) {
      INFO(one.name);
      for (std::size_t i = 0; i < one.model->values.size(); ++i)
        CHECK(std::abs(one.model->values[i] - expected_.at(one.name)[i]) <= 1e-13);
    }
  }

  Set set{};

 private:
  Make make_;
  std::map<std::string, std::vector<double>> expected_{};
  std::map<std::string, std::vector<std::unique_ptr<Plain>>> plain_{};
  std::int64_t steps_ = 0;
  std::int64_t round_ = 0;
};

/// Weights and state, to be compared bit for bit.
std::map<std::string, std::vector<double>> snapshot(Set const& set) {
  std::map<std::string, std::vector<double>> all;
  for (auto const& one : set) {
    all[one.name] = one.model->values;
    REQUIRE(set.slot_names(one).size() == one.slots.size());
    for (std::size_t i = 0; i < one.slots.size(); ++i) {
      CHECK(all.emplace(one.name + "." + set.slot_names(one)[i], one.slots[i]->values).second);  // a name for each
    }
  }
  return all;
}

fake::Tensor flag(double value, bool on_device) {
  fake::Tensor result{std::vector<double>{value}};
  result->on_device = on_device;
  return result;
}

/// Saves what a visitor shows and puts it back.
struct Saved {
  std::map<std::string, std::vector<double>> values{};

  void save(std::string const& path, auto const& part) {
    std::remove_cvref_t<decltype(part)>::visit_state(part, [&](auto&& key, auto const& member) {
      std::string const name = path + "/" + std::string{key};
      if constexpr (requires {
                      std::remove_cvref_t<decltype(member)>::visit_state(member, [](auto&&, auto const&) {});
                    }) {
        save(name, member);
      } else if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(member)>>) {
        CHECK(values.emplace(name, std::vector<double>{static_cast<double>(member)}).second);
      } else {
        CHECK(values.emplace(name, member->values).second);
      }
    });
  }
  void load(std::string const& path, auto& part) const {
    std::remove_cvref_t<decltype(part)>::visit_state(part, [&](auto&& key, auto& member) {
      std::string const name = path + "/" + std::string{key};
      if constexpr (requires { std::remove_cvref_t<decltype(member)>::visit_state(member, [](auto&&, auto&) {}); }) {
        load(name, member);
      } else if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(member)>>) {
        member = static_cast<std::remove_cvref_t<decltype(member)>>(values.at(name)[0]);
      } else {
        member = fake::Tensor{values.at(name)};  // another tensor, as a checkpoint may put there
      }
    });
  }
};

}  // namespace

TEST_CASE("C12: a wrapper around any optimizer does what both do by hand, and its state does not grow") {
  for_each_optimizer([](auto const& recipe, Make const& make) {
    Bench bench{make};
    auto bound = recipe.bind(bench.set);
    auto const keys = [&] {
      std::set<std::string> all;
      for (auto const& [name, values] : snapshot(bench.set)) all.insert(name);
      return all;
    };
    auto const before = keys();
    for (int t = 0; t < 30; ++t) {
      bench.gradients();
      bound.step(bench.set);
      bench.step_by_hand();
    }
    bench.check();
    CHECK(keys() == before);
  });
}

TEST_CASE("an update that a mask leaves out changes nothing, counters of wrappers included") {
  for_each_optimizer([](auto const& recipe, Make const& make) {
    using bound_type = decltype(recipe.bind(std::declval<Set&>()));
    static_assert(bound_type::maskable);
    for (bool const on_device : {false, true}) {
      Bench some{make};
      Bench all{make};
      auto masked = recipe.bind(some.set);
      auto plain = recipe.bind(all.set);
      fake::Tensor const on = flag(1.0, on_device);
      fake::Tensor const off = flag(0.0, on_device);
      for (int t = 0; t < 24; ++t) {
        some.gradients();
        all.gradients();
        for (int again = 0; again < t % 3; ++again) {
          auto const before = snapshot(some.set);
          masked.step(some.set, {.mask = &on});
          CHECK(snapshot(some.set) == before);
        }
        masked.step(some.set, {.mask = &off});
        plain.step(all.set, {.mask = &off});
        CHECK(snapshot(some.set) == snapshot(all.set));
      }
    }
    // And where only some updates have a mask on the device.
    Bench bench{make};
    auto mixed = recipe.bind(bench.set);
    for (int t = 0; t < 24; ++t) {
      bench.gradients();
      fake::Tensor const device = flag(t % 4 == 1 ? 1.0 : 0.0, true);
      fake::Tensor const host = flag(t % 4 == 2 ? 1.0 : 0.0, false);
      fake::Tensor const* masks[] = {nullptr, &device, &host, &device};
      mixed.step(bench.set, {.mask = masks[t % 4]});
      if (t % 4 == 0 || t % 4 == 3) bench.step_by_hand();
    }
    bench.check();
  });
}

TEST_CASE("C12: parameters that come and go leave the others their state, whatever order they have then") {
  for_each_optimizer([](auto const& recipe, Make const& make) {
    Bench bench{make};
    auto bound = recipe.bind(bench.set);
    auto const steps = [&](int count) {
      for (int t = 0; t < count; ++t) {
        bench.gradients();
        bound.step(bench.set);
        bench.step_by_hand();
      }
      bench.check();
    };
    steps(5);
    bench.remove("body.weight");  // frozen
    bench.remove("body.bias");
    bound.parameters_changed(bench.set);
    steps(5);
    bench.add("late.bias", {3.0, 4.0});
    bound.parameters_changed(bench.set);
    steps(5);
    bench.add("body.weight", {1.5, 0.5, -2.0});
    bench.add("head.late", {0.125});
    bench.remove("head.weight");
    bound.parameters_changed(bench.set);
    steps(7);
    snapshot(bench.set);
  });
}

TEST_CASE("groups refuse a step over other parameters than they were bound to") {
  Bench bench{[](std::string const&, double, std::int64_t) { return plain(heavy); }};
  auto bound = unequal(heavy, light, rooted).bind(bench.set);
  bench.remove("body.bias");
  bench.gradients();
  std::string code;
  try {
    bound.step(bench.set);
  } catch (tacit::ConfigError const& error) {
    code = error.code();
  }
  CHECK(code == "TACIT-RC131");
}

TEST_CASE("C28: fields are read and written through every wrapper, by group") {
  for_each_optimizer([](auto const& recipe, Make const& make) {
    Bench bench{make};
    auto bound = recipe.bind(bench.set);
    static_assert(tacit::detail::has_field<"lr", decltype(bound)> &&
                  tacit::detail::has_field<"momentum", decltype(bound)>);
    static_assert(!tacit::detail::has_field<"weight_decay", decltype(bound)>);
    bench.gradients();
    bound.step(bench.set);
    bench.step_by_hand();
    int groups = 0;
    for_each_group(bound, [&](std::string_view name, auto& one) {
      ++groups;
      CHECK((name.empty() || name == "base" || name == "bias" || name == "head"));
      write_field<"lr">(one, 0.5 * read_field<"lr">(one));
    });
    bool const grouped = tacit::detail::has_group(bound, "head");
    CHECK(groups == (grouped ? 3 : 1));
    CHECK(tacit::detail::has_group(bound, "base") == grouped);
    CHECK_FALSE(tacit::detail::has_group(bound, "tail"));
    bench.scale_rates(0.5);
    for (int t = 0; t < 6; ++t) {
      bench.gradients();
      bound.step(bench.set);
      bench.step_by_hand();
    }
    bench.check();
  });
}

TEST_CASE("C12: state that is saved and put into a new optimizer goes on as the old one") {
  for_each_optimizer([](auto const& recipe, Make const& make) {
    for (bool const on_device : {false, true}) {
      Bench old{make};
      Bench fresh{make};
      auto first = recipe.bind(old.set);
      fake::Tensor const off = flag(0.0, on_device);
      for (int t = 0; t < 7; ++t) {
        old.gradients();
        fresh.gradients();
        first.step(old.set, {.mask = &off});
      }
      Saved saved;
      tacit::OptimizerState const state{first, old.set};
      saved.save("", state);
      auto second = recipe.bind(fresh.set);
      for (auto const& one : old.set) fresh.set.find(one.name)->model->values = one.model->values;
      tacit::OptimizerState loaded{second, fresh.set};
      saved.load("", loaded);
      decltype(loaded)::state_loaded(loaded);
      second.parameters_changed(fresh.set);
      for (int t = 0; t < 11; ++t) {
        CHECK(snapshot(old.set) == snapshot(fresh.set));
        old.gradients();
        fresh.gradients();
        first.step(old.set, {.mask = &off});
        second.step(fresh.set, {.mask = &off});
      }
    }
  });
}

TEST_CASE("a trainer's optimizer is saved and loaded between two runs through its view") {
  Ahead const recipe{.inner = heavy, .every = 3};
  tacit::TrainOptions const options{.epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()};
  fake::Line const data{8};
  auto const make = [&](std::shared_ptr<fake::Linear> const& model) {
    return tacit::trainer_of<fake::Linear, fake::MeanSquaredError, Ahead, tacit::CallbackPack<>>{
        model, fake::MeanSquaredError{}, recipe, tacit::CallbackPack{}};
  };
  auto const model = std::make_shared<fake::Linear>();
  auto trainer = make(model);
  trainer.train(data, options);
  Saved saved;
  tacit::OptimizerState const state{trainer.view().optimizer(), trainer.view().parameters()};
  saved.save("", state);

  auto const other = std::make_shared<fake::Linear>();
  auto resumed = make(other);
  tacit::OptimizerState loaded{resumed.view().optimizer(), resumed.view().parameters()};
  other->weight->values = model->weight->values;
  other->bias->values = model->bias->values;
  saved.load("", loaded);
  decltype(loaded)::state_loaded(loaded);

  trainer.train(data, options);
  tacit::TrainOptions second = options;
  second.first_epoch = tacit::Epochs{1};
  resumed.train(data, second);
  CHECK(other->weight->values == model->weight->values);
  CHECK(other->bias->values == model->bias->values);
}

TEST_CASE("an optimizer that was moved goes on, one that was copied is one of its own, one bound again begins anew") {
  for_each_optimizer([](auto const& recipe, Make const& make) {
    Bench bench{make};
    using bound_type = decltype(recipe.bind(bench.set));
    std::vector<bound_type> held;
    fake::Tensor const off = flag(0.0, true);
    held.push_back(recipe.bind(bench.set));
    auto const step = [&](bound_type& bound) {
      bench.gradients();
      bound.step(bench.set, {.mask = &off});
      bench.step_by_hand();
    };
    for (int t = 0; t < 5; ++t) step(held.back());
    bound_type moved = std::move(held.back());
    held.clear();
    for (int t = 0; t < 5; ++t) step(moved);
    {
      // What a copy counts on the device is no news to the original.
      bound_type copy = moved;
      Bench elsewhere{make};
      copy.parameters_changed(elsewhere.set);
      for (int t = 0; t < 2; ++t) {
        elsewhere.gradients();
        copy.step(elsewhere.set, {.mask = &off});
      }
    }
    for (int t = 0; t < 5; ++t) step(moved);
    bench.check();

    auto again = recipe.bind(bench.set);
    bench.restart();
    for (int t = 0; t < 9; ++t) step(again);
    bench.check();
  });
}

namespace {

struct Rates {
  std::map<std::string, std::vector<double>> seen{};
  void on(tacit::event::UpdateStart const&, auto& context) {
    for_each_group(context.trainer().optimizer(), [this](std::string_view name, auto& one) {
      seen[std::string{name}].push_back(read_field<"lr">(one));
    });
  }
};
tacit::TrainOptions const options{
    .epochs = 1, .per_device_batch_size = 2, .sink = tacit::Sink::none()};  // four updates
fake::Line const data{8};

void check_rates(auto const& optimizer) {
  Rates rates;
  tacit::Trainer trainer{std::make_shared<fake::Linear>(), fake::MeanSquaredError{}, optimizer,
                         CallbackPack{std::ref(rates), tacit::ReduceOnPlateau<tacit::tag::train_loss>{
                                                           .factor = 0.5, .patience = 0, .threshold = 1e9}}};
  trainer.train(data, options, tacit::lr(tacit::schedule::linear(1.0, 0.0)),
                tacit::momentum(tacit::schedule::constant(1.0), "base"));
  CHECK(rates.seen["base"] == std::vector<double>{0.1, 0.1 * 0.75, 0.1 * 0.5, 0.1 * 0.25});
  CHECK(rates.seen["bias"] == std::vector<double>{0.05, 0.05 * 0.75, 0.05 * 0.5, 0.05 * 0.25});
  rates = {};
  trainer.train(data, options, tacit::lr(tacit::schedule::constant(3.0), "head"));  // waits for parameters
  CHECK(rates.seen["base"] == std::vector<double>(4, 0.1));
  // The first value is the best one; the plateau begins with the second run.
  rates = {};
  trainer.train(data, options);
  CHECK(rates.seen["base"] == std::vector<double>(4, 0.05));
  CHECK(rates.seen["bias"] == std::vector<double>(4, 0.025));
}

}  // namespace

TEST_CASE("C28: schedules and plateaus reach the groups inside of a wrapper, and wrappers inside of groups") {
  check_rates(optim::Lookahead<optim::Groups<Rule>>{.inner = unequal(heavy, light, rooted)});
  check_rates(unequal<Ahead>({.inner = heavy}, {.inner = light}, {.inner = rooted}));
}

namespace {

/// Stops the optimizer: what moves the weights then is what it keeps of older ones.
struct Stop {
  double* weight;
  void on(tacit::event::TrainingRunStart const&, auto& context) {
    if (*weight == 0.0) return;
    for_each_group(context.trainer().optimizer(), [](std::string_view, auto& one) { write_field<"lr">(one, 0.0); });
  }
};
void check_average_stays(auto const& optimizer, auto const& callback) {
  auto model = std::make_shared<fake::Linear>();
  double weight = 0.0;
  tacit::Trainer trainer{model, fake::MeanSquaredError{}, optimizer, CallbackPack{callback, Stop{&weight}}};
  tacit::TrainOptions const run{.epochs = 3, .per_device_batch_size = 2, .sink = tacit::Sink::none()};
  trainer.train(data, run);
  weight = model->weight.item();
  double const bias = model->bias.item();
  std::vector<double> seen;
  for (int again = 0; again < 2; ++again) {
    trainer.train(data, run);
    seen.push_back(model->weight.item());
  }
  // The averages of later runs come nearer to the weight that stands still: they never go past it.
  CHECK(std::abs(seen[0] - weight) <= 1e-12);
  CHECK(std::abs(seen[1] - weight) <= 1e-12);
  CHECK(std::abs(model->bias.item() - bias) <= 1e-12);
}

}  // namespace

TEST_CASE(
    "slow weights start from the average that a run leaves in the model, and from weights loaded before the first "
    "update") {
  // The average is all of the latest weights at decay 0: what it leaves is what was there.
  for_each_optimizer([](auto const& recipe, Make const& make) {
    Bench bench{make};
    auto bound = recipe.bind(bench.set);
    for (auto& one : bench.set) {
      for (double& value : one.model->values) value += 10.0;  // as load_weights does
    }
    bench.restart();
    for (auto& one : bench.set) {
      tacit::tensor_traits<fake::Tensor>::clear_grad(one.model);
    }
    for (int t = 0; t < 13; ++t) bound.step(bench.set);  // without any gradient
    auto const weights = [&] {
      std::map<std::string, std::vector<double>> all;
      for (auto const& one : bench.set) all[one.name] = one.model->values;
      return all;
    };
    auto const before = weights();
    CHECK(before.at("head.weight") == std::vector<double>{9.0, 10.75});
    if constexpr (requires { bound.weights_replaced(bench.set); }) {
      for (auto& one : bench.set) {
        for (double& value : one.model->values) value -= 4.0;  // as an average does
      }
      bound.weights_replaced(bench.set);
      auto const replaced = weights();
      for (int t = 0; t < 13; ++t) bound.step(bench.set);
      CHECK(weights() == replaced);
    }
  });
  check_average_stays(Ahead{.inner = light, .every = 5},
                      tacit::Ema{.decay = 0.5, .evaluate_every = 0, .leave_averaged = true});
}

}  // namespace optimizer_laws_tests
