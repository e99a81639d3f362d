// The prediction while it is made: later boxes lie over earlier ones, in whatever order their masks come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "case.hpp"
#include "pipeline.hpp"
#include "resize.hpp"

class Labels {
 public:
  /// Throws Fault where no file could hold the prediction, std::bad_alloc.
  Labels(const Case& of, const Pipeline& pipeline);

  /// Puts box `number` (from 1) on slice `z` where its mask is.
  void paint(std::size_t z, const Mask& mask, std::size_t number);

  /// Writes the prediction in as many bits as the published code, overflow included, or else as its numbers need.
  /// Nothing can be painted afterwards.
  void write(const std::filesystem::path& path);

 private:
  template <typename Number>
  void paint_into(Number* map, std::size_t z, const Mask& mask, std::size_t number) const;

  std::vector<std::uint64_t> shape_;
  std::size_t height_, width_, count_;
  int bits_written_, bits_held_;
  /// Zeroed by the kernel: what nothing is painted on takes no memory.
  std::unique_ptr<void, decltype(&std::free)> map_;
};
