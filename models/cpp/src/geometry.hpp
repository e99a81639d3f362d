// From images and boxes to what the networks take in, and from their logits back to masks.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include "case.hpp"
#include "pipeline.hpp"
#include "resize.hpp"

/// x_min, y_min, x_max, y_max in pixels of the square, as the decoder takes it.
using Prompt = std::array<float, 4>;

struct Size {
  std::size_t height, width;
};

/// The image's size after its longer side has become `side`.
Size fitted(Size image, std::size_t side);

/// An image or slice as the encoder takes it: (3, side, side), its own range stretched to [0, 1], then zeros to the
/// right and below.
std::vector<float> network_input(const View<std::uint8_t>& image, const Pipeline& pipeline);

/// A case's box as a prompt.
Prompt prompt_of(const Box& box, Size image, const Pipeline& pipeline);

/// The prompt for the slice after one with this mask; none where nothing is left of it.
/// `number` is the box's, from 1.
std::optional<Prompt> next_prompt(const Mask& mask, std::size_t number, Size image, const Pipeline& pipeline);

/// The slices of a box within a volume, all included.  The middle one, where the box itself is the prompt, belongs
/// to it even where z_min = z_max and the last one does not.
struct SliceRange {
  std::size_t first, middle, last;
};
SliceRange slices_of(const Box& box, std::size_t depth, const Pipeline& pipeline);

/// A mask without what lies outside a 2D box, whose ends both belong to it.
Mask clipped(const Mask& mask, const Box& box);

/// A box's mask at the image's size from its logits, (256, 256) over the whole square.
Mask mask_of(const float* logits, std::size_t logits_side, Size image, const Pipeline& pipeline);
