#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <utility>
#include <vector>

/// What training is, written out as in a textbook: numbers in float64, one process, no policies, nothing of the
/// library.
///
/// Several ranks are one process whose micro-batches are the union of the ranks' batches of that step.
namespace reference {

/// One sample. The marks say what happens where it is met.
enum mark : unsigned {
  spike = 1,           ///< << phase: the gradient of that phase is infinite, as scaled ones become
  skip = 8,            ///< the callback leaves out the batch that it begins
  throws = 16,         ///< the step throws, in the run that is to be broken off
  not_a_number = 32,   ///< the loss of the first phase is NaN
  nan_if_nothing = 64  ///< where no row of the batch has a weight the loss is 0 / 0, not a number that means nothing
};
struct Row {
  double x = 0.0;
  double y = 0.0;
  double weight[3] = {1.0, 1.0, 1.0};  ///< of each phase
  unsigned marks = 0;
};
using Batch = std::vector<Row>;   ///< of one rank in one step; empty: it has none
using Step = std::vector<Batch>;  ///< of all ranks

/// y = head_weight * (body_weight * x + body_bias) + head_bias; places in the list of all parameters. Shared ones have
/// one place.
struct Net {
  int body_weight, body_bias, head_weight, head_bias;
};

struct Phase {
  Net net;
  std::vector<int> trained;  ///< places of the parameters that its optimizer has
};

struct Options {
  double lr = 0.1;
  double momentum = 0.0;
};
/// Plain or with momentum; a group of its own for the heads; slow weights, over all or inside each group.
struct Optimizer {
  Options base{};
  bool has_groups = false;
  Options head{};
  int slow_every = 0;  ///< 0: no slow weights
  double slow_step = 0.5;
  bool slow_by_group = false;
};

enum class Clip { none, norm, value };
enum class Averaging { none, ema, swa, freezer };

struct Plan {
  std::vector<Step> train{};  ///< of an epoch
  std::vector<Step> eval{};
  bool is_sized = true;  ///< the end of an epoch is known beforehand
  bool has_evaluation = true;
  bool states_weights = false;
  bool has_spikes = false;  ///< an infinite gradient leaves its phase's update out, and is no disaster
  double coupling = 0.0;    ///< how much of the next phase's prediction is in a phase's own
  int epochs = 1;
  int accumulation = 1;
  Clip clip = Clip::none;
  double clip_at = 1.0;
  long update_limit = 0;  ///< 0: none
  long micro_batch_limit = 0;
  long sample_limit = 0;
  long epoch_limit = 0;  ///< micro-batches of an epoch
  long eval_limit = 0;
  long evaluate_every_updates = 0;
  bool evaluates_epochs = true;
  long halve_rate_every = 0;  ///< 0: no schedule
  Optimizer optimizer{};
  Averaging averaging = Averaging::none;
  double decay = 0.9;  ///< of an EMA
  bool leaves_average = false;
  int freeze_from = 0;  ///< epoch, from 0, in which the freezer's callback freezes the first net's body
  int freeze_to = 0;
  bool throws = false;  ///< the marks that throw are heeded
  long bad_in_a_row = 1;  ///< updates with a loss that is not a number, on one rank, that end the run
};

enum class End { completed, limit, not_finite, thrown };

struct Recorded {
  long updates;
  double value;
};
struct Outcome {
  End end = End::completed;
  long updates = 0;
  long micro_batches = 0;
  long samples = 0;
  std::vector<Recorded> train_loss[3];
  std::vector<Recorded> eval_loss[3];
  std::vector<Recorded> average_loss;
};

/// What outlives a run: parameters, optimizers, averages.
struct Model {
  struct State {
    std::map<int, double> velocity{};
    std::map<int, double> slow{};
    std::map<bool, long> slow_updates{};  ///< of a group (true: the head's), or of all together (false)
  };
  std::vector<double> values{};
  std::vector<Phase> phases{};
  std::vector<State> optimizers{};
  std::vector<double> average{};
  long averaged = 0;
  int epochs_begun = 0;  ///< as the freezer's callback counts them
};

/// d prediction / d parameter, at the parameter's place.
inline double predict(std::vector<double> const& v, Net const& net, double x, bool training, double factor,
                      std::vector<double>& gradient) {
  double const s = training ? 1.0 : 0.75;  // the nets' layers depend on their mode, as dropout does
  double const hidden = s * v[net.body_weight] * x + v[net.body_bias];
  gradient[net.head_weight] += factor * s * hidden;
  gradient[net.head_bias] += factor;
  gradient[net.body_weight] += factor * s * v[net.head_weight] * s * x;
  gradient[net.body_bias] += factor * s * v[net.head_weight];
  return factor * (s * v[net.head_weight] * hidden + v[net.head_bias]);
}

class Loop {
 public:
  Loop(Plan const& plan, Model& model) : plan_{plan}, model_{model}, phases_{model.phases.size()} {
    bool const is_new = model.optimizers.empty();
    model_.optimizers.resize(phases_);
    if (is_new) {
      for (std::size_t p = 0; p < phases_; ++p) {
        for (int place : model_.phases[p].trained) begin_state(p, place);
      }
    }
  }

  Outcome run() {
    if (is_averaging() && model_.average.empty()) model_.average = model_.values;
    for (int epoch = 0; epoch < plan_.epochs && !stopping_; ++epoch) {
      begin_epoch_of_the_freezer();
      if (!train_epoch(epoch)) {
        out_.end = End::thrown;
        return out_;
      }
      if (plan_.has_evaluation && plan_.evaluates_epochs) evaluate(out_.eval_loss);
    }
    if (plan_.leaves_average && is_averaging() && (plan_.averaging != Averaging::swa || model_.averaged > 0)) {
      model_.values = model_.average;
      for (Model::State& state : model_.optimizers) {
        for (auto& [place, slow] : state.slow) slow = model_.values[place];  // else they would pull the average back
      }
    }
    return out_;
  }

  /// The mean losses of an evaluation, by phase.
  void evaluate(std::vector<Recorded> (&into)[3]) const {
    for (std::size_t p = 0; p < phases_; ++p) into[p].push_back({out_.updates, eval_loss(p)});
  }

 private:
  struct Mean {
    double sum = 0.0;
    double weight = 0.0;
    void add(Mean const& other) {
      sum += other.sum;
      weight += other.weight;
    }
    double value() const { return weight == 0.0 ? std::numeric_limits<double>::quiet_NaN() : sum / weight; }
  };

  bool is_averaging() const { return plan_.averaging == Averaging::ema || plan_.averaging == Averaging::swa; }

  double weight_of(Row const& row, std::size_t phase) const { return plan_.states_weights ? row.weight[phase] : 1.0; }

  /// Adds the weighted loss of a batch, and its gradient. A batch without weight is left out.
  void add(Batch const& batch, std::size_t phase, bool training, Mean& loss, std::vector<double>* gradient) const {
    Net const& own = model_.phases[phase].net;
    Net const& other = model_.phases[(phase + 1) % phases_].net;
    for (Row const& row : batch) {
      double const weight = weight_of(row, phase);
      if (weight == 0.0) continue;
      std::vector<double> slope(model_.values.size(), 0.0);
      double prediction = predict(model_.values, own, row.x, training, 1.0, slope);
      if (phases_ > 1) prediction += predict(model_.values, other, row.x, training, plan_.coupling, slope);
      double const error = prediction - row.y;
      loss.sum += weight * error * error;
      loss.weight += weight;
      if (gradient == nullptr) continue;
      for (std::size_t i = 0; i < slope.size(); ++i) (*gradient)[i] += weight * 2.0 * error * slope[i];
    }
  }

  double eval_loss(std::size_t phase) const {
    Mean mean;
    std::size_t const steps = plan_.eval_limit > 0
                                  ? std::min<std::size_t>(plan_.eval.size(), static_cast<std::size_t>(plan_.eval_limit))
                                  : plan_.eval.size();
    for (std::size_t s = 0; s < steps; ++s) {
      for (Batch const& batch : plan_.eval[s]) add(batch, phase, false, mean, nullptr);
    }
    return mean.value();
  }

  /// False if the step threw.
  bool train_epoch(int) {
    Mean losses[3];
    std::size_t steps = plan_.train.size();
    bool const is_cut = plan_.epoch_limit > 0 && static_cast<std::size_t>(plan_.epoch_limit) <= steps;
    if (is_cut) steps = static_cast<std::size_t>(plan_.epoch_limit);
    std::size_t at = 0;
    while (at < steps && !stopping_) {
      // The window: its length, where it is known.
      std::size_t size = static_cast<std::size_t>(plan_.accumulation);
      if (plan_.micro_batch_limit > 0)
        size = std::min<std::size_t>(
            size, static_cast<std::size_t>(std::max(1L, plan_.micro_batch_limit - out_.micro_batches)));
      if (plan_.is_sized || is_cut) size = std::min(size, steps - at);
      std::vector<std::vector<double>> gradients(phases_, std::vector<double>(model_.values.size(), 0.0));
      std::vector<double> weights(phases_, 0.0);
      std::vector<bool> spiky(phases_, false);
      std::vector<bool> bad(plan_.train[at].size(), false);  // ranks with a loss that is not a number
      bool masked = false;
      bool found_spike = false;
      Mean window_losses[3];
      std::vector<bool> done(phases_, false);
      auto update = [&](std::size_t p) {
        done[p] = true;
        if (weights[p] == 0.0) return;  // nothing in the window counts for this phase
        for (double& g : gradients[p]) g /= weights[p];
        found_spike = found_spike || spiky[p];
        if (!masked) losses[p].add(window_losses[p]);
        if (!masked && !spiky[p]) step_optimizer(p, gradients[p]);
      };

      for (std::size_t in_window = 0; in_window < size && at < steps; ++in_window, ++at) {
        bool const closes = in_window + 1 == size;
        for (std::size_t p = 0; p < phases_; ++p) {
          for (std::size_t rank = 0; rank < bad.size(); ++rank) {
            Batch const& batch = plan_.train[at][rank];
            if (batch.empty() || has(batch, mark::skip)) continue;
            if (plan_.throws && has(batch, mark::throws)) return false;
            Mean loss;
            add(batch, p, true, loss, &gradients[p]);
            weights[p] += loss.weight;
            window_losses[p].add(loss);
            if (loss.weight == 0.0) continue;
            if (p == 0 && has(batch, mark::not_a_number)) masked = bad[rank] = true;
            // The rank that skips an update goes backward no more in it, so its precision sees none of that.
            if (plan_.has_spikes && !bad[rank] && has(batch, static_cast<mark>(mark::spike << p))) spiky[p] = true;
          }
          if (closes) update(p);
        }
        for (Batch const& batch : plan_.train[at]) {
          if (!has(batch, mark::skip)) out_.samples += static_cast<long>(batch.size());
        }
        ++out_.micro_batches;
      }
      // The data ended inside the window.
      for (std::size_t p = 0; p < phases_; ++p) {
        if (!done[p]) update(p);
      }
      bool const counts = std::any_of(weights.begin(), weights.end(), [](double w) { return w != 0.0; });
      if (counts) {
        ++out_.updates;
        left_out_ += found_spike ? 1 : 0;
        if (plan_.averaging == Averaging::ema && !masked && !found_spike) take_ema();
      }
      if (counts) count_bad(bad);
      if (is_limit_reached()) stop(End::limit);
      if (counts && plan_.has_evaluation && plan_.evaluate_every_updates > 0 &&
          out_.updates % plan_.evaluate_every_updates == 0)
        evaluate(out_.eval_loss);
    }
    for (std::size_t p = 0; p < phases_; ++p) out_.train_loss[p].push_back({out_.updates, losses[p].value()});
    end_epoch_of_the_average();
    return true;
  }

  static bool has(Batch const& batch, mark what) {
    return std::any_of(batch.begin(), batch.end(), [what](Row const& row) { return (row.marks & what) != 0; });
  }

  void count_bad(std::vector<bool> const& bad) {
    bad_in_a_row_.resize(bad.size());
    for (std::size_t rank = 0; rank < bad.size(); ++rank) {
      bad_in_a_row_[rank] = bad[rank] ? bad_in_a_row_[rank] + 1 : 0;
      if (bad_in_a_row_[rank] >= plan_.bad_in_a_row) stop(End::not_finite);
    }
  }

  void stop(End why) {
    if (stopping_) return;
    stopping_ = true;
    out_.end = why;
  }
  bool is_limit_reached() const {
    return (plan_.update_limit > 0 && out_.updates >= plan_.update_limit) ||
           (plan_.micro_batch_limit > 0 && out_.micro_batches >= plan_.micro_batch_limit) ||
           (plan_.sample_limit > 0 && out_.samples >= plan_.sample_limit);
  }

  // --- the update ---

  bool is_head(int place) const {
    return std::any_of(model_.phases.begin(), model_.phases.end(), [place](Phase const& one) {
      return place == one.net.head_weight || place == one.net.head_bias;
    });
  }
  void begin_state(std::size_t p, int place) {
    model_.optimizers[p].velocity[place] = 0.0;
    model_.optimizers[p].slow[place] = model_.values[place];
  }

  void step_optimizer(std::size_t p, std::vector<double> gradient) {
    std::vector<int> const& trained = model_.phases[p].trained;
    if (plan_.clip == Clip::norm) {
      double squares = 0.0;
      for (int place : trained) squares += gradient[place] * gradient[place];
      double const factor = std::min(1.0, plan_.clip_at / (std::sqrt(squares) + 1e-6));
      for (int place : trained) gradient[place] *= factor;
    } else if (plan_.clip == Clip::value) {
      for (int place : trained) gradient[place] = std::clamp(gradient[place], -plan_.clip_at, plan_.clip_at);
    }
    Optimizer const& o = plan_.optimizer;
    double rate = 1.0;
    if (plan_.halve_rate_every > 0)
      rate = std::pow(0.5, static_cast<double>((out_.updates - left_out_) / plan_.halve_rate_every));
    Model::State& state = model_.optimizers[p];
    if (o.slow_every > 0) {
      for (int place : trained) {  // slow weights start from the weights before the first update
        if (state.slow_updates[o.slow_by_group && is_head(place)] == 0) state.slow[place] = model_.values[place];
      }
    }
    for (int place : trained) {
      Options const& options = o.has_groups && is_head(place) ? o.head : o.base;
      double& velocity = state.velocity[place];
      velocity = options.momentum * velocity + gradient[place];
      model_.values[place] -= rate * options.lr * velocity;
    }
    if (o.slow_every == 0) return;
    for (bool head : {false, true}) {
      auto const is_in = [&](int place) { return !o.slow_by_group || is_head(place) == head; };
      if (head && !o.slow_by_group) break;
      if (std::none_of(trained.begin(), trained.end(), is_in)) continue;
      if (++state.slow_updates[head] % o.slow_every != 0) continue;
      for (int place : trained) {
        if (!is_in(place)) continue;
        state.slow[place] += o.slow_step * (model_.values[place] - state.slow[place]);
        model_.values[place] = state.slow[place];
      }
    }
  }

  // --- averages and freezing ---

  void take_ema() {
    double const n = static_cast<double>(model_.averaged++);
    double const kept = std::min(plan_.decay, (1.0 + n) / (10.0 + n));
    for (std::size_t i = 0; i < model_.values.size(); ++i)
      model_.average[i] += (1.0 - kept) * (model_.values[i] - model_.average[i]);
  }
  void end_epoch_of_the_average() {
    if (!is_averaging()) return;
    if (plan_.averaging == Averaging::swa) {
      double const part = 1.0 / static_cast<double>(++model_.averaged);
      for (std::size_t i = 0; i < model_.values.size(); ++i)
        model_.average[i] += part * (model_.values[i] - model_.average[i]);
    }
    if (!plan_.has_evaluation) return;
    std::swap(model_.values, model_.average);
    out_.average_loss.push_back({out_.updates, eval_loss(0)});
    std::swap(model_.values, model_.average);
  }

  /// The body of the first net gets no updates from one epoch to another, in every phase that has it, and then starts
  /// anew.
  void begin_epoch_of_the_freezer() {
    if (plan_.averaging != Averaging::freezer) return;
    int const epoch = model_.epochs_begun++;
    Net const& first = model_.phases[0].net;
    for (std::size_t p = 0; p < phases_; ++p) {
      Net const& net = model_.phases[p].net;
      std::vector<int>& trained = model_.phases[p].trained;
      for (int place : {first.body_weight, first.body_bias}) {
        if (place != net.body_weight && place != net.body_bias) continue;
        if (epoch == plan_.freeze_from) std::erase(trained, place);
        if (epoch == plan_.freeze_to && std::find(trained.begin(), trained.end(), place) == trained.end()) {
          trained.push_back(place);
          begin_state(p, place);
        }
      }
    }
  }

  Plan const& plan_;
  Model& model_;
  std::size_t phases_;
  Outcome out_{};
  long left_out_ = 0;
  std::vector<long> bad_in_a_row_{};  // of each rank
  bool stopping_ = false;
};

}  // namespace reference
