// Weights as whole numbers of 24 bits, in three quarters of a float's bytes; `models/packed.py` describes the format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace int24 {

/// Weights that share a factor: a run.
constexpr std::size_t run = 1024;

constexpr std::size_t runs_of(std::size_t count) { return (count + run - 1) / run; }

/// What so many weights take.
constexpr std::size_t bytes_of(std::size_t count) { return runs_of(count) * sizeof(float) + 3 * count; }

/// Runs `first` to before `last` of `count` weights, widened into their places among all `count` of `to`.
void widen(const std::uint8_t* packed, std::size_t count, std::size_t first, std::size_t last, float* to);

}  // namespace int24
