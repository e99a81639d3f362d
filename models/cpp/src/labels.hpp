// The prediction while it is made: later boxes lie over earlier ones, in whatever order their masks come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "case.hpp"
#include "pipeline.hpp"
#include "resize.hpp"

class Labels {
 public:
  explicit Labels(const Case& of);

  /// Puts box `number` (from 1) on slice `z` where its mask is.
  void paint(std::size_t z, const Mask& mask, std::size_t number);

  /// Writes the prediction in as many bits as the published code, overflow included, or else as its numbers need.
  void write(const std::filesystem::path& path, const Pipeline& pipeline) const;

 private:
  template <typename Number>
  void paint_into(std::vector<Number>& map, std::size_t z, const Mask& mask, std::size_t number) const;

  std::vector<std::uint64_t> shape_;
  std::size_t height_, width_;
  // One of them is in use, by the number of boxes.
  std::vector<std::uint8_t> narrow_;
  std::vector<std::uint16_t> wide_;
};
