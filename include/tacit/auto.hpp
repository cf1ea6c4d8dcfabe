#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "tacit/core/error.hpp"
#include "tacit/core/sink.hpp"
#include "tacit/core/slots.hpp"
#include "tacit/launch/arguments.hpp"
#include "tacit/policy/choice.hpp"
#include "tacit/policy/device/auto_device.hpp"
#include "tacit/policy/distribution/auto_distribution.hpp"
#include "tacit/policy/precision/auto_precision.hpp"

namespace tacit::inline v0 {

/// Device, precision and distribution chosen at run time: the same binary runs on CPU and GPU with no change.
///
/// Reads `--device`, `--precision`, `--threads` and the launcher's variables; where they are not given it takes the first CUDA device
/// that can be used, else the CPU, with one thread or all by the work of the first batch, fp32, and this process alone. A policy
/// named beside it wins its slot. Once the trainer is made it says in one line what it chose and why.
/// Cost: one predictable branch per use of a policy.
/// Throws: ConfigError for a command line that does not fit, or `--help` where the program does not answer it.
/// Example:
///     tacit::Trainer trainer{model, loss, optimizer, tacit::Auto{argc, argv}};
///     tacit::Trainer trainer{model, loss, optimizer, tacit::Auto{arguments}};   // a program with options of its own
class Auto {
 public:
  using slot = slot::automatic;
  using device = AutoDevice;
  using precision = AutoPrecision;
  using distribution = AutoDistribution;

  /// No command line: "auto" for everything.
  Auto() = default;
  /// A command line with no further options.
  Auto(int argc, char const* const* argv, Sink const& sink = {}) : Auto{launch::Arguments{argc, argv}, sink} {}
  /// A command line that the program reads too.
  explicit Auto(launch::Arguments const& arguments, Sink const& sink = {})
      : sink_{sink},
        device_given_{arguments.has("device")},
        precision_given_{arguments.has("precision")},
        threads_given_{arguments.has("threads")},
        device_{arguments.text("device", "auto"), arguments.text("threads", "auto")},
        precision_{arguments.text("precision", "auto")} {
    launch::detail::refuse_unanswered_help(arguments);
    detail::parse_device(device_.choice, "--device");
    detail::parse_precision(precision_.choice, "--precision");
    detail::parse_threads(device_.threads, "--threads");
  }

  AutoDevice make_device() const { return device_; }
  AutoPrecision make_precision() const { return precision_; }
  AutoDistribution make_distribution() const { return {}; }

  /// Says what was chosen and why; the trainer calls it once everything is bound.
  /// Throws: ConfigError for an option whose slot a named policy has filled: it would be ignored.
  template <class Core>
  void announce(Core& core) const {
    std::string line = "[tacit] auto:";
    if constexpr (std::same_as<typename Core::composition::device, AutoDevice>) {
      line += " device " + core.device().name() + " (" + core.device().reason() + "),";
      if (std::string const threads = core.device().threads().text(); !threads.empty()) line += " " + threads + ",";
      if (core.rank() == 0) core.device().threads().report_to(sink_);
    } else {
      if (device_given_) throw named("device", "device", core.device().name());
      if (threads_given_) throw named("threads", "device", core.device().name());
    }
    if constexpr (std::same_as<typename Core::composition::precision, AutoPrecision>) {
      line.append(" precision ")
          .append(core.precision().name())
          .append(precision_.choice == "auto" ? " (the default)," : " (asked for),");
    } else if (precision_given_) {
      throw named("precision", "precision", core.precision().name());
    }
    if constexpr (std::same_as<typename Core::composition::distribution, AutoDistribution>) {
      line.append(" ").append(core.distribution().name()).append(",");
    }
    if (line.back() != ',' || core.rank() != 0) return;  // every slot is named, or another rank says it
    line.back() = '\n';
    sink_.write(line);
  }

 private:
  static ConfigError named(std::string_view option, std::string_view slot, std::string_view policy) {
    return ConfigError{"TACIT-RX13",
                       detail::message({"--", option, " is given, but the program names its ", slot, ": ", policy}),
                       "command line", "leave the option out, or the policy"};
  }

  Sink sink_{};
  bool device_given_ = false;
  bool precision_given_ = false;
  bool threads_given_ = false;
  AutoDevice device_{.threads = "auto"};
  AutoPrecision precision_{};
};

}  // namespace tacit::inline v0
