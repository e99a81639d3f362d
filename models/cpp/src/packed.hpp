// Weights stored as whole numbers of 24 bits, expanded in memory to the file that OpenVINO reads; `models/packed.py`
// describes the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

constexpr const char* packed_suffix = ".int24";

/// A part of the weights: `size` bytes at `offset`, whose data begin at `from` in the packed file.
struct PackedSegment {
  std::uint64_t offset, size, from;
  bool narrow;  ///< of 24 bits; else raw
};

/// Where everything lies in a packed file of so many bytes; they alone are read.  Throws Fault where they are not
/// packed weights, or are cut off.
std::vector<PackedSegment> packed_segments(const std::uint8_t* packed, std::uint64_t bytes);

/// A file's weights in memory that has a path, for as long as this lives; what has mapped it by then may use it longer.
class ExpandedWeights {
 public:
  /// Throws Fault, which names the file, where it is not what it must be.
  explicit ExpandedWeights(const std::filesystem::path& packed);
  ~ExpandedWeights();
  ExpandedWeights(const ExpandedWeights&) = delete;
  ExpandedWeights& operator=(const ExpandedWeights&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};
