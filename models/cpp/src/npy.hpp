// Arrays inside npz files: their headers and, for boxes, their numbers.
//
// Source: numpy's description of the npy format, versions 1.0 to 3.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "zip.hpp"

/// What an array claims to be.
struct ArrayHeader {
  char kind = 'u';  ///< as numpy has it: b, i, u or f
  std::size_t item_bytes = 1;
  bool big_endian = false;
  std::vector<std::uint64_t> shape;
};

/// Reads a member's header, up to its data's first byte.
/// Throws Fault for anything but bool, integers and floats in C order whose size is what the member holds.
ArrayHeader read_header(MemberReader& member);

/// All numbers of an array as double; integers beyond 2^53 are rounded.
std::vector<double> read_numbers(MemberReader& member, const ArrayHeader& header);

/// The header of an array as numpy writes it.  `descr` is the dtype, such as "|u1".
std::string npy_header(const std::string& descr, const std::vector<std::uint64_t>& shape);

/// A shape as Python prints it, for messages.
std::string shape_text(const std::vector<std::uint64_t>& shape);
