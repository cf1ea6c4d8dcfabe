#pragma once

#include <string>
#include <string_view>

#include "tacit/version.hpp"

// In the global namespace because g++ leaves out the enclosing namespaces of the function from what it prints.
template <class T>
constexpr std::string_view tacit_detail_pretty_function() {
  return __PRETTY_FUNCTION__;
}

namespace tacit::inline v0 {

/// The name of a type as a person would write it, without the library's namespaces; never used as an identity.
template <class T>
std::string type_name() {
  std::string_view text = tacit_detail_pretty_function<T>();
  std::size_t const begin = text.find("T = ") + 4;
  std::size_t const end = text.find_first_of(";]", begin);
  std::string name{text.substr(begin, end - begin)};
  for (std::string_view noise : {"tacit::v0::", "tacit::"}) {
    for (std::size_t at = name.find(noise); at != std::string::npos; at = name.find(noise, at)) name.erase(at, noise.size());
  }
  return name;
}

}  // namespace tacit::inline v0
