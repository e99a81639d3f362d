// Segmenting one case.
#pragma once

#include "case.hpp"
#include "labels.hpp"
#include "networks.hpp"
#include "pipeline.hpp"

/// What a case took.
struct Work {
  std::size_t encoded = 0, decoded = 0;  ///< slices, and boxes on slices
  double encode_s = 0, decode_s = 0;     ///< wall time in the networks
};

/// Labels of a case.  Every slice that a box needs is encoded once (unless embeddings outgrow their memory), and
/// all boxes on it are decoded together.
Labels segment(const Case& of, const Pipeline& pipeline, Networks& networks, Work& work);
