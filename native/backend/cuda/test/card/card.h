// The card that the native tests and the benchmark run on: whether there is one that can be used, and what it is.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace mlit::test::card {

// Why no card can be used here, as the plug-in would say it; empty where one can.
std::string unavailable();

// For a report: the card, its memory and capability, what this was compiled by and for, the cuBLASLt that was opened.
nlohmann::json describe();

}  // namespace mlit::test::card
