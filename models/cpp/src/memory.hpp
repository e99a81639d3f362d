// How much memory there is, and what a case needs of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

constexpr std::uint64_t gibibyte = 1ULL << 30;

/// What this process may use: the machine's memory, or less by its control group (version 1 or 2, as a container
/// sees its own) or its limit of address space.
std::uint64_t memory_given(const std::filesystem::path& groups = "/sys/fs/cgroup");

/// What everything but a case's own arrays takes: libraries, networks with their intermediate results (MedficientSAM's,
/// the largest, 0.7 GiB, the weights' file in it, which is memory for good where it was packed), logits held for
/// interpolation (0.25 GiB).
constexpr std::uint64_t reserved_bytes = 5 * gibibyte / 4;

/// Throws Fault where arrays of so many bytes, and what is reserved, are more than there is.  It is said before memory
/// is taken, since beyond a container's limit the kernel ends the program without a word.
void require_memory(std::uint64_t memory_bytes, std::uint64_t array_bytes);

/// Embeddings that may be kept between the sweeps through a volume whose arrays take so much: 1.5 GiB of them, or what
/// memory leaves.
std::size_t embeddings_kept(std::uint64_t memory_bytes, std::uint64_t array_bytes);
