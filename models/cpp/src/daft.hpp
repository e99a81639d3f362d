// DAFT has one set of weights per modality, chosen by the case's file name.
#pragma once

#include <filesystem>
#include <string>

/// Where a case's networks lie: `root` itself, or the folder in it that the case's name leads to.
/// Where its folder 3D was exported as daft-shared, all volumes lead there.  Throws Fault where neither holds networks.
std::filesystem::path networks_of(const std::filesystem::path& root, const std::string& case_name);
