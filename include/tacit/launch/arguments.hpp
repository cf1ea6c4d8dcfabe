#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tacit/core/error.hpp"

/// The command line of a program that trains.
namespace tacit::inline v0::launch {

/// An option of a program: `{"epochs", "N", "passes over the data"}` is read as `--epochs 3` or `--epochs=3`.
struct Option {
  std::string name;         ///< without the dashes
  std::string placeholder;  ///< what stands for the value in the help; empty: a flag, which takes none
  std::string help;
};

/// For a program that names its policies: no `--device`, `--precision` and `--threads` beside its own options.
struct own_options_t {};
inline constexpr own_options_t own_options{};

/// A command line, read once and whole: what is unknown, malformed or given twice is an error that lists what is known.
///
/// Besides the options listed there are `--help` and those of the policies: `--device` and `--precision`, which `Auto`
/// and `run` read, and `--threads`, which `Auto` reads. One of these that is listed is the program's own, with its own
/// help. Nothing is printed here and nothing exits.
/// Example:
///     tacit::launch::Arguments const arguments{argc, argv, {{"epochs", "N", "passes over the data (8)"}}};
///     if (arguments.help_requested()) return std::puts(arguments.help().c_str()), 0;
///     tacit::Epochs const epochs = arguments.integer("epochs", 8);
class Arguments {
 public:
  Arguments() : Arguments{0, nullptr} {}

  /// Throws: ConfigError for a command line that does not fit; UsageError for two options of one name.
  Arguments(int argc, char const* const* argv, std::initializer_list<Option> own = {})
      : Arguments{argc, argv, own, true} {}
  Arguments(own_options_t, int argc, char const* const* argv, std::initializer_list<Option> own)
      : Arguments{argc, argv, own, false} {}

  /// True after `--help`; the rest of the command line is then not looked at.
  bool help_requested() const noexcept { return help_; }

  /// The text for `--help`: a line per option.
  std::string help() const {
    std::string text = "usage: " + program_ + " [options]\n";
    std::size_t width = 0;
    for (Entry const& entry : entries_) width = std::max(width, usage(entry.option).size());
    for (Entry const& entry : entries_) {
      std::string line = "  " + usage(entry.option);
      if (!entry.option.help.empty()) {
        line.resize(width + 4, ' ');
        line += entry.option.help;
      }
      text += line + "\n";
    }
    return text;
  }

  /// The policies' options that were given, without those that the program lists as its own.
  std::vector<std::string> given_for_policies() const {
    std::vector<std::string> names;
    for (Entry const& entry : entries_) {
      if (entry.given && entry.is_of_policies) names.push_back(entry.option.name);
    }
    return names;
  }
  /// True if the option or flag was given.
  bool has(std::string_view name) const { return entry(name).given; }

  /// The option's value, or `fallback` where it was not given.
  std::string text(std::string_view name, std::string_view fallback) const {
    Entry const& found = entry(name);
    return found.given ? found.value : std::string{fallback};
  }
  /// Throws: ConfigError where the value is no whole number.
  std::int64_t integer(std::string_view name, std::int64_t fallback) const {
    return parsed(name, fallback, "a whole number");
  }
  /// Throws: ConfigError where the value is no number.
  double number(std::string_view name, double fallback) const { return parsed(name, fallback, "a number"); }

 private:
  struct Entry {
    Option option;
    std::string value;
    bool given = false;
    bool is_of_policies = false;
  };

  Arguments(int argc, char const* const* argv, std::initializer_list<Option> own, bool with_policies) {
    if (argc > 0) {
      std::string_view const path{argv[0]};
      program_ = path.substr(path.find_last_of('/') + 1);
    }
    for (Option const& option : own) declare(option);
    if (with_policies) {
      declare_default({"device", "NAME", "where to train: auto, cpu, cuda or cuda:N (auto)"});
      declare_default({"precision", "NAME", "in what precision: auto, fp32, fp64, bf16 or fp16 (auto)"});
      declare_default({"threads", "N", "threads on the CPU: auto, a number, all or measured (auto)"});
    }
    declare({"help", "", "this text"});
    for (int i = 1; i < argc; ++i) help_ = help_ || std::string_view{argv[i]} == "--help";
    if (help_) return;
    for (int i = 1; i < argc;) i = read(i, argc, argv);
  }

  static std::string usage(Option const& option) {
    return option.placeholder.empty() ? "--" + option.name : "--" + option.name + " " + option.placeholder;
  }

  Entry* find(std::string_view name) {
    auto const found =
        std::ranges::find(entries_, name, [](Entry const& entry) -> std::string_view { return entry.option.name; });
    return found == entries_.end() ? nullptr : &*found;
  }
  void declare(Option const& option) {
    if (find(option.name) != nullptr) {
      throw UsageError{"TACIT-RX12", tacit::detail::message({"the option --", option.name, " is declared twice"}), "launch::Arguments",
                       "give each option a name of its own"};
    }
    entries_.push_back({option, {}});
  }
  void declare_default(Option const& option) {
    if (find(option.name) == nullptr) entries_.push_back({.option = option, .value = {}, .is_of_policies = true});
  }

  /// Reads the option at i; gives the place of the next one.
  int read(int i, int argc, char const* const* argv) {
    std::string_view const given{argv[i]};
    if (!given.starts_with("--")) throw refuse("TACIT-RX07", "'" + std::string{given} + "' is no option");
    std::size_t const equals = given.find('=');
    std::string const name{given.substr(2, equals == std::string_view::npos ? equals : equals - 2)};
    Entry* const found = find(name);
    if (found == nullptr) throw refuse("TACIT-RX05", "there is no option --" + name);
    if (found->given) throw refuse("TACIT-RX08", "--" + name + " is given twice");
    found->given = true;
    bool const is_flag = found->option.placeholder.empty();
    if (equals != std::string_view::npos) {
      if (is_flag) throw refuse("TACIT-RX06", "--" + name + " takes no value");
      found->value = given.substr(equals + 1);
    } else if (!is_flag) {
      // What looks like an option is one: a forgotten value must not swallow it. `--name=--value` says the other.
      if (i + 1 < argc && !std::string_view{argv[i + 1]}.starts_with("--")) found->value = argv[++i];
    }
    if (!is_flag && found->value.empty())
      throw refuse("TACIT-RX06", "--" + name + " lacks its value " + found->option.placeholder);
    return i + 1;
  }

  ConfigError refuse(std::string_view code, std::string const& what) const {
    std::string known;
    for (Entry const& entry : entries_) known.append(known.empty() ? "" : ", ").append(usage(entry.option));
    return ConfigError{code, what, "command line", "the options are " + known};
  }

  Entry const& entry(std::string_view name) const {
    auto const found =
        std::ranges::find(entries_, name, [](Entry const& one) -> std::string_view { return one.option.name; });
    if (found == entries_.end()) {
      throw UsageError{"TACIT-RX12", tacit::detail::message({"the program asks for an option --", name, " that it did not declare"}),
                       "launch::Arguments", tacit::detail::message({"list it in the constructor: {\"", name, "\", \"VALUE\", \"what it is\"}"})};
    }
    return *found;
  }

  template <class Number>
  Number parsed(std::string_view name, Number fallback, std::string_view kind) const {
    Entry const& found = entry(name);
    if (!found.given) return fallback;
    Number value{};
    char const* const end = found.value.data() + found.value.size();
    auto const [stop, error] = std::from_chars(found.value.data(), end, value);
    if (error != std::errc{} || stop != end) {
      throw refuse("TACIT-RX10",
                   "--" + std::string{name} + " is '" + found.value + "', which is not " + std::string{kind});
    }
    return value;
  }

  std::string program_ = "program";
  std::vector<Entry> entries_{};
  bool help_ = false;
};

namespace detail {
/// For who reads a command line and cannot answer `--help`: training must not begin as if nothing had been asked.
inline void refuse_unanswered_help(Arguments const& arguments) {
  if (!arguments.help_requested()) return;
  throw ConfigError{"TACIT-RX09", tacit::detail::message({"--help was asked for, and the program went on\n", arguments.help()}), "command line",
                    "read the command line with tacit::launch::Arguments, whose help_requested() and help() answer it"};
}
}  // namespace detail

}  // namespace tacit::inline v0::launch
