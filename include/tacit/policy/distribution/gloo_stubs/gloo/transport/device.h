// Stands in for the header of this name of Gloo, which LibTorch uses but does not ship: just what ProcessGroupGloo.hpp names.
// Nothing here is ever instantiated or called by us; vtables and constructors come from LibTorch.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer;
}  // namespace gloo::transport
