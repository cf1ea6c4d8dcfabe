#pragma once

/// What a body throws; with the code "none" if it throws nothing of that kind.
template <class Error, class Body>
Error thrown(Body const& body) {
  try {
    body();
  } catch (Error const& error) {
    return error;
  }
  return {"none", "", "", ""};
}
