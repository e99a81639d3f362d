// What the challenge exchanges: cases in, label maps out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

/// A box prompt: pixels in x and y, slices in z; for an image both z are 0.
struct Box {
  double x_min, y_min, z_min, x_max, y_max, z_max;
};

/// A case as a submission sees it.
struct Case {
  bool volume = false;
  std::size_t depth = 1, height = 0, width = 0;  ///< of the whole file's image
  std::size_t channels = 1;                      ///< 3 for images
  std::vector<Box> boxes;
  std::size_t slices_read = 0;  ///< slices 0 to slices_read - 1 are in `pixels`
  std::unique_ptr<std::uint8_t[]> pixels;

  std::size_t image_bytes() const { return slices_read * height * width * channels; }
  /// What segmenting takes at most: the pixels read, labels of 16 bits, and a slice's mask, cut out, whole and shrunk.
  std::uint64_t array_bytes() const { return image_bytes() + 2 * depth * height * width + 4 * height * width; }
  const std::uint8_t* slice(std::size_t z) const { return pixels.get() + z * height * width * channels; }
  /// Shape of the prediction.
  std::vector<std::uint64_t> label_shape() const;
};

/// Reads a case: boxes first, then the image as far as the last slice that a box reaches.
/// Throws Fault where the file is not a case, or segmenting it would take more memory than given.
Case read_case(const std::filesystem::path& path, std::uint64_t memory_bytes);

/// Arrays up to here fit into a zip file without 64-bit fields, even if deflating makes them a little larger.
constexpr std::uint64_t max_written_bytes = (1ULL << 32) - (1ULL << 22);

/// Writes one array under one key, deflated at level 1.  The file is there whole or not at all.
/// Throws std::system_error where it cannot be written, Fault where the array is too large.
void write_npz(const std::filesystem::path& path, const std::string& key, const std::string& descr,
               const std::vector<std::uint64_t>& shape, const void* data, std::size_t bytes);
