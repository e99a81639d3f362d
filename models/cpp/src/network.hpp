// What segmenting needs of networks.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "geometry.hpp"

/// An encoded image, (256, 64, 64); 4 MiB.
using Embedding = std::shared_ptr<float>;
constexpr std::size_t embedding_floats = 256 * 64 * 64;

class Network {
 public:
  virtual ~Network() = default;

  /// Waits until all networks can work; what is loaded beside other work may still be on its way.
  virtual void await() {}

  /// `image` is (3, side, side); the result is the caller's own.
  virtual Embedding encode(std::vector<float>& image) = 0;

  /// Logits of a prompt on an embedding, (256, 256), valid until the next call.  What all prompts on an embedding share
  /// is computed at the first of those that follow one another.
  virtual const float* decode(const Embedding& embedding, Prompt& prompt) = 0;

  static constexpr std::size_t logits_side = 256;
  static constexpr std::size_t logits_area = logits_side * logits_side;
};
