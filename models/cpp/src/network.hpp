// What segmenting needs of a pair of networks.
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

  /// Waits until both networks can work; what is loaded beside other work may still be on its way.
  virtual void await() {}

  /// `image` is (3, side, side); the result is the caller's own.
  virtual Embedding encode(std::vector<float>& image) = 0;

  /// Logits of prompts on one embedding, (N, 256, 256), valid until the next call.  N is 1 to `batch`.
  virtual const float* decode(const Embedding& embedding, std::vector<Prompt>& prompts) = 0;

  static constexpr std::size_t logits_side = 256;
  static constexpr std::size_t logits_area = logits_side * logits_side;
  /// Prompts decoded at once, at most.  OpenVINO prepares itself for more prompts than it has had before; fewer cost it
  /// nothing.  A prompt takes 40 MB meanwhile.
  static constexpr std::size_t batch = 8;
};
