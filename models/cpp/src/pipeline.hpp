// What an algorithm does around its networks: pipeline.json of an exported model.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "resize.hpp"

/// What networks compute in.
enum class Precision { f32, bf16 };
const char* name_of(Precision precision);
/// Throws Fault for any other name.
Precision precision_of(const std::string& name);

/// Fields are as `python -m models export` writes them.
struct Pipeline {
  std::string algorithm;
  std::size_t side = 256;                          ///< input_size: of the square that the encoder takes
  Interpolation shrink = Interpolation::area;      ///< resize
  bool whole_pixels = true;                        ///< box: "floored"; false: "exact"
  bool next_from_shrunk = true;                    ///< next_box: "shrunk"; false: "full"
  std::size_t margin = 3;                          ///< of the next slice's box, in pixels of the square
  bool last_included = true;                       ///< last_slice: whether z_max is a slice of the box
  bool value_is_number = false;                    ///< label_value: a mask handed on holds its box's number
  Precision precision = Precision::f32;
  std::size_t stride = 1;                          ///< every so many slices of a volume are segmented

  // What follows from algorithm and mode.
  std::optional<int> label_bits;   ///< of the prediction as published; none: as many as the number of boxes needs
  bool stale_embeddings = false;   ///< a slice met before is decoded on the slice encoded last
  bool clipped_to_box = false;     ///< a 2D mask ends at its box
};

/// Throws Fault where the file is missing, broken, or asks for what this program does not know.
Pipeline read_pipeline(const std::filesystem::path& path);

/// DAFT after the challenge: one model for all volumes.
constexpr const char* daft_shared = "daft-shared";
