// An OpenVINO model (.xml) whose constants are found in another file than the one it was saved with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

using Bytes = std::vector<std::uint8_t>;

/// The .xml, changed: what its constants hold is looked for in `file`, and what is not there is put behind it.
/// Throws Fault where a constant lies beyond `weights`, the bytes that the .xml tells of.
std::string rebased(const std::string& xml, const Bytes& weights, Bytes& file);
