// What fuzzers of models, adapters and states load their inputs into, once a process.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "model/model.h"

namespace mlit::fuzz {

std::shared_ptr<Backend> backend();  // one thread

// test/tiny_model.h's llama.
std::shared_ptr<Model> tinyModel();

}  // namespace mlit::fuzz
