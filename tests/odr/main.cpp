// All of the library in two translation units of one program: nothing may be defined twice.
#include "all_headers.hpp"

int other();

int main() { return other(); }
