// Segmenting one case.
#pragma once

#include <cstddef>

#include "case.hpp"
#include "labels.hpp"
#include "network.hpp"
#include "phases.hpp"
#include "pipeline.hpp"

/// Paints a case's labels.  Every slice that a box needs is encoded once (unless more than `kept` embeddings would have
/// to be held for it), and all boxes on it are decoded together.  `phases` is told of the networks' work.
void segment(const Case& of, const Pipeline& pipeline, Network& network, std::size_t kept, Labels& labels,
             Phases& phases);
