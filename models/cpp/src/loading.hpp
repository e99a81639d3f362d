// A folder's networks, compiled by OpenVINO for the CPU.
#pragma once

#include <cstddef>
#include <filesystem>
#include <openvino/openvino.hpp>
#include <string>

#include "pipeline.hpp"

/// CPUs that this process may run on.
std::size_t cpus_given();

/// How networks are compiled.
struct Settings {
  std::filesystem::path folder;  ///< of the networks' .xml and .bin
  Precision precision = Precision::f32;
  std::size_t threads = cpus_given();
};

/// A network: as `bake` left it where that was for a CPU like this one, else compiled from its .xml and .bin.
/// Throws Fault where these are missing or are not what OpenVINO expects.
ov::CompiledModel loaded(const Settings& settings, const std::string& name);

/// Makes each network's .bin one that begins with the network compiled for CPUs like this one, with weights and all,
/// and its .xml one that finds its weights in there: for other CPUs both are the network that they were.
void bake(const Settings& settings);
