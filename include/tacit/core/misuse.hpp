#pragma once

#include "tacit/version.hpp"

namespace tacit::inline v0 {

/// The numbers of compile-time errors; docs/errors.md tells each with its cure. Never reused.
enum class misuse {
  none,
  // composition
  ES01, ES02, ES03, ES04, ES05, ES06, ES07, ES08, ES15,
  // tasks
  ET01, ET02, ET03, ET04, ET05, ET06, ET07, ET08, ET09, ET10, ET11, ET12, ET13,
  ET14, ET15, ET16, ET20, ET21, ET23, ET24, ET30, ET31,
  // callbacks and events
  EC01, EC02, EC03, EC04, EC05, EC06, EC07, EC08, EC09, EC10, EC11, EC12, EC13,
  EC14, EC15, EC16, EC17, EC18, EC19, EC20, EC23, EC24, EC25, EC26, EC27, EC28,
  EC29, EC30, EC31, EC40,
  // metrics
  EM01, EM02, EM03, EM04, EM05, EM06, EM12, EM13, EM14, EM20, EM21,
  // policies: device, precision, distribution, pairs
  EP01, EP02, EP03, EP04, EP05, EP06,
  EP11, EP12, EP13, EP14, EP15, EP16, EP17, EP18,
  EP21, EP22, EP23, EP24, EP25, EP26, EP27, EP28, EP29, EP30, EP31, EP32, EP33, EP34, EP35, EP36,
  EP41, EP42, EP70, EP71, EP72, EP73, EP74, EP75, EP76, EP77, EP78, EP79,
  EP80, EP81,
  // optimizers
  EO01, EO02, EO03, EO04, EO05, EO06, EO20, EO21, EO22, EO23,
  // state
  EV01, EV02, EV03, EV04, EV05, EV06, EV07, EV08,
  // runs
  ER01, ER02, ER03, ER04, ER05, ER06, ER13,
  // data
  ED01, ED02, ED03, ED04, ED05, ED06
};

/// What a composition becomes when it is refused: the number, the type at fault, and what it was asked for.
template <misuse Number, class Culprit = void, class Detail = void>
struct bad {
  static constexpr misuse number = Number;
  using culprit = Culprit;
  using detail = Detail;
};

namespace detail {
template <class T>
inline constexpr bool is_bad_v = false;
template <misuse Number, class Culprit, class Detail>
inline constexpr bool is_bad_v<bad<Number, Culprit, Detail>> = true;
}  // namespace detail

}  // namespace tacit::inline v0
