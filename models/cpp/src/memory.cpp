#include "memory.hpp"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "fault.hpp"
#include "network.hpp"

std::uint64_t memory_given(const std::filesystem::path& groups) {
  std::uint64_t bytes = gibibyte << 20;
  struct sysinfo machine {};
  if (::sysinfo(&machine) == 0) bytes = static_cast<std::uint64_t>(machine.totalram) * machine.mem_unit;
  for (const char* file : {"memory.max", "memory/memory.limit_in_bytes"}) {
    std::uint64_t limit = 0;
    if (std::ifstream(groups / file) >> limit) bytes = std::min(bytes, limit);  // "max" is no number
  }
  struct rlimit space {};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    bytes = std::min(bytes, static_cast<std::uint64_t>(space.rlim_cur));
  return bytes;
}

void require_memory(std::uint64_t memory_bytes, std::uint64_t array_bytes) {
  const std::uint64_t needed = array_bytes + reserved_bytes;
  if (needed <= memory_bytes) return;
  const auto in_gibibytes = [](std::uint64_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(gibibyte);
  };
  char message[200];
  std::snprintf(message, sizeof message,
                "segmenting takes up to %.1f GiB of memory, and there are %.1f. "
                "Give more (docker run --memory, ulimit), or split the volume",
                in_gibibytes(needed), in_gibibytes(memory_bytes));
  throw Fault(message);
}

std::size_t embeddings_kept(std::uint64_t memory_bytes, std::uint64_t array_bytes) {
  constexpr std::uint64_t at_most = 3 * gibibyte / 2;
  const std::uint64_t taken = array_bytes + reserved_bytes;
  const std::uint64_t left = memory_bytes > taken ? memory_bytes - taken : 0;
  return static_cast<std::size_t>(std::min(left, at_most) / (embedding_floats * sizeof(float)));
}
