// Convolutions as loops on the emulator's memory.
#pragma once
#include <cmath>

#include "cudnn_objects.h"
#include "emulated.h"

namespace cudnn
{
enum Data : int
{
    Float32 = 0,
    BFloat16 = 9,
};

// A [b,h,w,c] tensor.
struct TensorModel
{
    int64_t name, alignment, b, h, w, c;
    int type;
    bool is_virtual;

    int64_t count() const { return b * h * w * c; }
    int64_t bytes() const { return count() * (type == BFloat16 ? 2 : 4); }
    bool operator==(const TensorModel& o) const { return name == o.name; }

    double read(const void* data, int64_t at) const
    {
        return type == BFloat16 ? emulated::from_bf16(static_cast<const uint16_t*>(data)[at])
            : static_cast<const float*>(data)[at];
    }

    void write(void* data, int64_t at, double value) const
    {
        if (type == BFloat16)
            static_cast<uint16_t*>(data)[at] = emulated::to_bf16((float)value);
        else
            static_cast<float*>(data)[at] = (float)value;
    }
};

struct Problem
{
    Kind pass;
    TensorModel image, weight, output;    // as in the forward pass; output: of the convolution itself
    std::vector<TensorModel> added, sums; // of the additions that follow: what is added, and the result
    int64_t stride;

    // What is written.
    const TensorModel& result() const
    {
        return pass == BackwardData ? image : pass == BackwardFilter ? weight : sums.empty() ? output : sums.back();
    }

    // The tensors that have memory.
    std::vector<TensorModel> tensors() const
    {
        std::vector<TensorModel> all = {image, weight, pass == Forward ? result() : output};
        all.insert(all.end(), added.begin(), added.end());
        return all;
    }

    // Calls f(image index, weight index, output index) for each product, x(h, v) with w(r, s) into y(p, q).
    template <typename F>
    void each(F f) const
    {
        for (int64_t b = 0; b < output.b; b++)
            for (int64_t p = 0; p < output.h; p++)
                for (int64_t q = 0; q < output.w; q++)
                    for (int64_t r = 0; r < 3; r++)
                        for (int64_t s = 0; s < 3; s++)
                        {
                            int64_t h = p * stride + r - 1, v = q * stride + s - 1;
                            if (h < 0 || v < 0 || h >= image.h || v >= image.w)
                                continue;
                            int64_t x = ((b * image.h + h) * image.w + v) * image.c;
                            int64_t y = ((b * output.h + p) * output.w + q) * output.c;
                            for (int64_t o = 0; o < output.c; o++)
                                for (int64_t i = 0; i < image.c; i++)
                                    f(x + i, ((o * 3 + r) * 3 + s) * image.c + i, y + o);
                        }
    }

    // data: by tensor name. tf32: float32 operands are rounded to 10 bits of mantissa, as tensor cores do.
    void compute(const std::map<int64_t, void*>& data, bool tf32) const
    {
        auto values = [&](const TensorModel& t) {
            std::vector<double> all(t.count());
            for (int64_t i = 0; i < t.count(); i++)
            {
                all[i] = t.read(data.at(t.name), i);
                if (tf32 && t.type == Float32)
                {
                    int exponent;
                    double mantissa = frexp(all[i], &exponent);
                    all[i] = ldexp(nearbyint(ldexp(mantissa, 11)), exponent - 11);
                }
            }
            return all;
        };
        std::vector<double> sum(result().count());
        if (pass == Forward)
        {
            std::vector<double> x = values(image), w = values(weight);
            each([&](int64_t i, int64_t k, int64_t o) { sum[o] += x[i] * w[k]; });
        }
        else if (pass == BackwardData)
        {
            std::vector<double> dy = values(output), w = values(weight);
            each([&](int64_t i, int64_t k, int64_t o) { sum[i] += dy[o] * w[k]; });
        }
        else
        {
            std::vector<double> dy = values(output), x = values(image);
            each([&](int64_t i, int64_t k, int64_t o) { sum[k] += dy[o] * x[i]; });
        }

        for (const TensorModel& t : added)
            for (int64_t i = 0; i < (int64_t)sum.size(); i++)
                sum[i] += t.read(data.at(t.name), t.count() == (int64_t)sum.size() ? i : i % t.c);
        for (int64_t i = 0; i < (int64_t)sum.size(); i++)
            result().write(data.at(result().name), i, sum[i]);
    }
};
} // namespace cudnn
