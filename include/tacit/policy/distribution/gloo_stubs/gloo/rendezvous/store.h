// Stands in for the header of this name of Gloo, which LibTorch uses but does not ship: just what ProcessGroupGloo.hpp names.
// Nothing here is ever instantiated or called by us; vtables and constructors come from LibTorch.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace gloo::rendezvous {
class Store {
 public:
  virtual ~Store();
  virtual void set(std::string const& key, std::vector<char> const& data) = 0;
  virtual std::vector<char> get(std::string const& key) = 0;
  virtual void wait(std::vector<std::string> const& keys) = 0;
  virtual void wait(std::vector<std::string> const& keys, std::chrono::milliseconds const& timeout) = 0;
};
}  // namespace gloo::rendezvous
