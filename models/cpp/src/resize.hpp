// Resizing to the pixel as OpenCV does it on images of 8 and 16 bits, and as torch and OpenCV do it on logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

enum class Interpolation { area, linear };

/// An image (height, width, channels) of 8 or 16 bits, row after row.
template <typename Number>
struct View {
  const Number* data;
  std::size_t height, width, channels;
};

/// The image at another size.  Equal to cv2.resize(..., INTER_AREA or INTER_LINEAR) in every pixel.
std::vector<std::uint8_t> resized(const View<std::uint8_t>& image, std::size_t height, std::size_t width,
                                  Interpolation how);
/// By area, which is what masks of 16 bits need.
std::vector<std::uint8_t> resized_by_area(const View<std::uint8_t>& image, std::size_t height, std::size_t width);
std::vector<std::uint16_t> resized_by_area(const View<std::uint16_t>& image, std::size_t height, std::size_t width);

/// A grey image of floats whose rows are `stride` apart.
struct FloatView {
  const float* data;
  std::size_t stride, height, width;
};

/// Bilinear with half-pixel centres and edges held (torch's interpolate with align_corners=False).
std::vector<float> resized(const FloatView& image, std::size_t height, std::size_t width);

/// A mask within an image: what lies outside the window is 0.
struct Mask {
  std::size_t top = 0, left = 0, bottom = 0, right = 0;  ///< of the window, end not included
  std::vector<std::uint8_t> inside;                      ///< 0 or 1, (bottom - top, right - left)

  bool empty() const { return inside.empty(); }
};

/// Where the logits, resized to (height, width), are above 0.  Only what can be is computed; the window is tight.
Mask positive(const FloatView& logits, std::size_t height, std::size_t width);
