#include "geometry.hpp"

#include <algorithm>
#include <cmath>

namespace {

double ratio_of(Size image, std::size_t side) {
  return static_cast<double>(side) / static_cast<double>(std::max(image.height, image.width));
}

/// A box of the image in pixels of the square.
Prompt scaled(const std::array<double, 4>& box, Size image, const Pipeline& pipeline) {
  // The decoder's graph adds half a pixel to every coordinate, which exact coordinates do not want.
  constexpr float added_by_graph = 0.5f;
  const double ratio = ratio_of(image, pipeline.side);
  const auto longest = static_cast<float>(std::max(image.height, image.width));
  const auto side = static_cast<float>(pipeline.side);
  Prompt prompt{};
  std::transform(box.begin(), box.end(), prompt.begin(), [&](double value) {
    return pipeline.whole_pixels ? static_cast<float>(std::trunc(value * ratio))
                                 : static_cast<float>(value) / longest * side - added_by_graph;
  });
  return prompt;
}

/// A box wider by the margin, within the square.
Prompt widened(const Prompt& box, const Pipeline& pipeline) {
  if (pipeline.margin == 0) return box;
  const auto margin = static_cast<float>(pipeline.margin), side = static_cast<float>(pipeline.side);
  return {std::clamp(box[0] - margin, 0.0f, side), std::clamp(box[1] - margin, 0.0f, side),
          std::clamp(box[2] + margin, 0.0f, side), std::clamp(box[3] + margin, 0.0f, side)};
}

/// The first and last column and row that are not 0 of a mask shrunk to the square, as x_min, y_min, x_max, y_max.
/// The mask is an image of `Number`s whose object has this value: a higher one lets thinner parts survive.
template <typename Number>
std::optional<Prompt> shrunk(const Mask& mask, Number value, Size image, std::size_t side) {
  std::vector<Number> whole(image.height * image.width, 0);
  const std::size_t mask_width = mask.right - mask.left;
  const std::uint8_t* set = mask.inside.data();
  for (std::size_t y = mask.top; y < mask.bottom; ++y, set += mask_width)
    std::transform(set, set + mask_width, &whole[y * image.width + mask.left],
                   [&](std::uint8_t is_set) { return is_set ? value : Number{0}; });
  const auto [height, width] = fitted(image, side);
  const std::vector<Number> small =
      resized_by_area(View<Number>{whole.data(), image.height, image.width, 1}, height, width);
  std::size_t top = height, bottom = 0, left = width, right = 0;
  for (std::size_t y = 0; y < height; ++y)
    for (std::size_t x = 0; x < width; ++x)
      if (small[y * width + x]) {
        top = std::min(top, y), bottom = y;
        left = std::min(left, x), right = std::max(right, x);
      }
  if (top == height) return std::nullopt;
  return Prompt{static_cast<float>(left), static_cast<float>(top), static_cast<float>(right),
                static_cast<float>(bottom)};
}

}  // namespace

Size fitted(Size image, std::size_t side) {
  const double scale = ratio_of(image, side);
  const auto length = [&](std::size_t n) { return static_cast<std::size_t>(static_cast<double>(n) * scale + 0.5); };
  // A side may vanish, in images more than 512 times as long as they are wide; one pixel then stands for it.
  return {std::max<std::size_t>(1, length(image.height)), std::max<std::size_t>(1, length(image.width))};
}

std::vector<float> network_input(const View<std::uint8_t>& image, const Pipeline& pipeline) {
  const std::size_t side = pipeline.side, plane = side * side;
  const Size size = fitted({image.height, image.width}, side);
  const std::vector<std::uint8_t> small = resized(image, size.height, size.width, pipeline.shrink);
  const auto [low, high] = std::minmax_element(small.begin(), small.end());
  // In double precision, as the published code; rounded once at the end.
  std::array<float, 256> unit{};
  for (int value = *low; value <= *high; ++value)
    unit[static_cast<std::size_t>(value)] =
        static_cast<float>(static_cast<double>(value - *low) / std::max(static_cast<double>(*high - *low), 1e-8));
  std::vector<float> square(3 * plane, 0.0f);
  for (std::size_t c = 0; c < 3; ++c) {
    const std::size_t channel = image.channels == 1 ? 0 : c;
    for (std::size_t y = 0; y < size.height; ++y)
      for (std::size_t x = 0; x < size.width; ++x)
        square[c * plane + y * side + x] = unit[small[(y * size.width + x) * image.channels + channel]];
  }
  return square;
}

Prompt prompt_of(const Box& box, Size image, const Pipeline& pipeline) {
  return scaled({box.x_min, box.y_min, box.x_max, box.y_max}, image, pipeline);
}

std::optional<Prompt> next_prompt(const Mask& mask, std::size_t number, Size image, const Pipeline& pipeline) {
  if (mask.empty()) return std::nullopt;
  if (!pipeline.next_from_shrunk) {
    const std::array<double, 4> ends{static_cast<double>(mask.left), static_cast<double>(mask.top),
                                     static_cast<double>(mask.right - 1), static_cast<double>(mask.bottom - 1)};
    return widened(scaled(ends, image, pipeline), pipeline);
  }
  std::optional<Prompt> ends;
  if (pipeline.value_is_number && pipeline.label_bits != 8) {
    ends = shrunk(mask, static_cast<std::uint16_t>(number), image, pipeline.side);
  } else {
    const auto value = static_cast<std::uint8_t>(pipeline.value_is_number ? number : 1);  // 256 becomes 0
    ends = shrunk(mask, value, image, pipeline.side);
  }
  return ends ? std::optional(widened(*ends, pipeline)) : std::nullopt;
}

SliceRange slices_of(const Box& box, std::size_t depth, const Pipeline& pipeline) {
  const auto low = static_cast<long>(box.z_min), high = static_cast<long>(box.z_max);
  const long deepest = static_cast<long>(depth) - 1;
  const long middle = std::min(low + (high - low) / 2, deepest);
  const long last = std::min(pipeline.last_included ? high : high - 1, deepest);
  return {static_cast<std::size_t>(std::min(low, middle)), static_cast<std::size_t>(middle),
          static_cast<std::size_t>(std::max(middle, last))};
}

Mask clipped(const Mask& mask, const Box& box) {
  Mask result = mask;
  const auto x_min = static_cast<std::size_t>(box.x_min), x_max = static_cast<std::size_t>(box.x_max);
  const auto y_min = static_cast<std::size_t>(box.y_min), y_max = static_cast<std::size_t>(box.y_max);
  std::uint8_t* set = result.inside.data();
  for (std::size_t y = mask.top; y < mask.bottom; ++y)
    for (std::size_t x = mask.left; x < mask.right; ++x, ++set)
      if (x < x_min || x > x_max || y < y_min || y > y_max) *set = 0;
  return result;
}

Mask mask_of(const float* logits, std::size_t logits_side, Size image, const Pipeline& pipeline) {
  const Size size = fitted(image, pipeline.side);
  if (logits_side == pipeline.side)
    return positive({logits, logits_side, size.height, size.width}, image.height, image.width);
  // A square other than the logits': they are brought to its size first, then cropped.
  const std::vector<float> square =
      resized(FloatView{logits, logits_side, logits_side, logits_side}, pipeline.side, pipeline.side);
  return positive({square.data(), pipeline.side, size.height, size.width}, image.height, image.width);
}
