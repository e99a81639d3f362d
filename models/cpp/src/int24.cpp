#include "int24.hpp"

#include <algorithm>
#include <cstring>

namespace int24 {
namespace {

/// Wherever it lies; files are little-endian, as are the processors that this runs on.
template <typename Number>
Number number_at(const std::uint8_t* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof number);
  return number;
}

/// Upper 16 bits and lower 8; plain enough for the compiler to widen many at once.
void widen_run(const std::uint8_t* __restrict upper, const std::uint8_t* __restrict lower, float factor,
               std::size_t count, float* __restrict to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = static_cast<float>(number_at<std::int16_t>(upper + 2 * i) * 256 + lower[i]) * factor;
}

}  // namespace

void widen(const std::uint8_t* packed, std::size_t count, std::size_t first, std::size_t last, float* to) {
  const std::uint8_t* upper = packed + runs_of(count) * sizeof(float);
  const std::uint8_t* lower = upper + 2 * count;
  for (std::size_t i = first; i < last; ++i) {
    const std::size_t begin = i * run, size = std::min(run, count - begin);
    widen_run(upper + 2 * begin, lower + begin, number_at<float>(packed + i * sizeof(float)), size, to + begin);
  }
}

}  // namespace int24
