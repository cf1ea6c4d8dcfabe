#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "tacit/core/error.hpp"

/// Policies as text names them, for those that are chosen at run time.
namespace tacit::inline v0::detail {

enum class device_kind : std::uint8_t { automatic, cpu, cuda };

struct DeviceChoice {
  device_kind kind = device_kind::automatic;
  int index = -1;  ///< -1: not given
};

/// Throws: ConfigError that names `where`, for anything but auto, cpu, cuda and cuda:N.
inline DeviceChoice parse_device(std::string_view text, std::string_view where) {
  if (text == "auto") return {device_kind::automatic, -1};
  if (text == "cpu") return {device_kind::cpu, -1};
  if (text == "cuda") return {device_kind::cuda, -1};
  constexpr std::string_view prefix = "cuda:";
  if (text.starts_with(prefix)) {
    std::uint8_t index = 0;  // more devices than LibTorch can count are malformed, too
    char const* const end = text.data() + text.size();
    auto const [stop, error] = std::from_chars(text.data() + prefix.size(), end, index);
    if (error == std::errc{} && stop == end && index < 128) return {device_kind::cuda, index};
  }
  throw ConfigError{"TACIT-RC75", detail::message({"'", text, "' names no device"}), where,
                    "give auto, cpu, cuda or cuda:N, as in cuda:1"};
}

enum class precision_kind : std::uint8_t { fp32, fp64, bf16, fp16 };

/// Throws: ConfigError that names `where`, for anything but auto (which is fp32), fp32, fp64, bf16 and fp16.
inline precision_kind parse_precision(std::string_view text, std::string_view where) {
  if (text == "auto" || text == "fp32") return precision_kind::fp32;
  if (text == "fp64") return precision_kind::fp64;
  if (text == "bf16") return precision_kind::bf16;
  if (text == "fp16") return precision_kind::fp16;
  throw ConfigError{"TACIT-RC76", detail::message({"'", text, "' names no precision"}), where,
                    "give auto, fp32, fp64, bf16 or fp16"};
}

enum class threads_kind : std::uint8_t { as_they_are, automatic, number, all, measured };

struct ThreadsWanted {
  threads_kind kind = threads_kind::as_they_are;
  std::int64_t number = 0;
};

/// Throws: ConfigError that names `where`, for anything but auto, all, measured, a number from 1 to 1024 and the empty
/// text.
inline ThreadsWanted parse_threads(std::string_view text, std::string_view where) {
  if (text.empty()) return {};
  if (text == "auto") return {threads_kind::automatic, 0};
  if (text == "all") return {threads_kind::all, 0};
  if (text == "measured") return {threads_kind::measured, 0};
  std::int64_t number = 0;
  auto const [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && stop == text.data() + text.size() && number >= 1 && number <= 1024)
    return {threads_kind::number, number};
  throw ConfigError{"TACIT-RC160", detail::message({"'", text, "' is no number of threads"}), where,
                    "give auto, all, measured, or a number from 1 to 1024"};
}

}  // namespace tacit::inline v0::detail
