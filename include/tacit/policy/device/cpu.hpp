#pragma once

#include <cstdint>
#include <string_view>

#include "tacit/concepts/device_policy.hpp"
#include "tacit/concepts/tensor.hpp"
#include "tacit/core/error.hpp"
#include "tacit/core/units.hpp"

namespace tacit::inline v0 {

namespace unit {
struct thread {
  static constexpr std::string_view name = "threads";
};
}  // namespace unit
/// How many threads the tensor library computes with.
using Threads = Count<unit::thread>;

/// Training on the host: nothing is transferred and host reads are free.
///
/// Throws: ConfigError on binding for 0 threads.
/// Example: `Cpu{.threads = 1}`; the callback `AutoThreads` finds a number by measuring.
struct Cpu {
  using slot = slot::device;

  Threads threads = unset;  ///< of the tensor library while a run lasts; where not given, what it has

  template <class Tensor>
  class bound {
   public:
    static constexpr bool is_host = true;
    constexpr bound() = default;
    explicit constexpr bound(Threads threads) noexcept : threads_{threads} {}
    Tensor const& to(Tensor const& tensor) const noexcept { return tensor; }
    static constexpr bool host_reads_free() noexcept { return true; }
    static constexpr char const* name() noexcept { return "cpu"; }
    void synchronize() const noexcept {}
    auto run_scope() const {
      struct scope {
        explicit scope(Threads threads) : before{tensor_traits<Tensor>::threads()} {
          if (threads.is_set()) tensor_traits<Tensor>::set_threads(threads.value());
        }
        scope(scope const&) = delete;
        scope& operator=(scope const&) = delete;
        ~scope() {
          if (tensor_traits<Tensor>::threads() != before) tensor_traits<Tensor>::set_threads(before);
        }
        std::int64_t before;
      };
      return scope{threads_};
    }

   private:
    Threads threads_ = unset;
  };

  static void visit_config(auto& self, auto&& visit) { visit("threads", self.threads); }

  template <class Tensor>
  constexpr bound<Tensor> bind() const {
    if (threads.value() == 0) throw ConfigError{"TACIT-RC89", "no thread at all", "Cpu::threads", "give 1 or more, or leave it out"};
    return bound<Tensor>{threads};
  }
};

}  // namespace tacit::inline v0
