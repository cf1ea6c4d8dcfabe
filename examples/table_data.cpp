// Tables from files: columns of a CSV file and an array of numpy as tensors, and a model that learns from them.

// expect: 4 rows of area, price
// expect: \[2, 3\] values, the last one 6
// expect: loss [0-9.e-]+

#include <torch/torch.h>
#include <tacit/data/csv_file.hpp>
#include <tacit/data/npy_file.hpp>
#include <tacit/tacit.hpp>

#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

int main() {
  using namespace tacit;
  std::ofstream{"houses.csv"} << "name,area,price\nA,1.0,2.5\nB,2.0,NA\nC,3.0,6.5\nD,4.0,8.5\n";
  {  // what numpy.save("values.npy", numpy.arange(1, 7, dtype="float32").reshape(2, 3)) writes
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    header.resize(117, ' ');
    std::string bytes{"\x93NUMPY\x01\0\x76\0", 10};
    bytes += header + '\n';
    for (float const value : {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}) bytes.append(reinterpret_cast<char const*>(&value), sizeof value);
    std::ofstream{"values.npy", std::ios::binary} << bytes;
  }

  // [csv]
  data::csv::Table const table = data::read_csv_file("houses.csv", {.columns = {"area", "price"}, .missing = data::csv::Missing::nan});
  at::Tensor const numbers = torch::tensor(table.values).view({table.rows, -1});  // float64, [rows, columns]
  // [/csv]
  std::cout << table.rows << " rows of " << table.columns[0] << ", " << table.columns[1] << '\n';

  // [npy]
  at::Tensor values;
  data::read_npy_file("values.npy", data::npy::default_limit, [&](data::npy::Header const& header) {
    if (header.type != data::npy::element_type::float32 || header.fortran_order) throw std::runtime_error{"save it as float32, in C order"};
    values = at::empty(header.dimensions, at::kFloat);
    return values.mutable_data_ptr();
  });
  // [/npy]
  std::cout << values.sizes() << " values, the last one " << values[1][2].item<float>() << '\n';

  at::Tensor const known = numbers.index({numbers.isfinite().all(1)}).to(at::kFloat);  // the rows without a missing value
  data::TensorDataset const houses{known.narrow(1, 0, 1), known.narrow(1, 1, 1)};
  Trainer trainer{torch::nn::Linear{1, 1}, loss::Mse{}, optim::Sgd{.lr = 0.01}, CallbackPack{}};
  auto const result = trainer.train(houses, {.epochs = 20, .per_device_batch_size = 3});
  std::cout << "loss " << result[tag::train_loss{}] << '\n';
}
