// What ends the program with exit code 2: a file, or a call, that is not as it must be.
#pragma once

#include <stdexcept>

/// The message names the file, the fault and, where there is one, the remedy.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
