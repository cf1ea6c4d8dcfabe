#pragma once

/// The one place that states the version: CMake, the package config and pkg-config read it from here.
/// The inline namespace `tacit::v0` carries the ABI version; it changes with every incompatible layout.
namespace tacit::inline v0 {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

}  // namespace tacit::inline v0
