using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Operators over lists of tensors that take a plain number, which libtorch's stable C interface cannot carry.</summary>
/// <remarks>
/// TorchScript can: each function here is one call into libtorch, and on CUDA a handful of kernels for the whole list in place of
/// one per tensor. An error comes back as a managed exception. Tensors of one list share device and dtype.
/// </remarks>
internal static class ForeachScript
{
    // TorchScript wants a line break after the last line.
    private const string Source = """
        def advance(steps: List[Tensor], by: Tensor):
            torch._foreach_add_(steps, by)

        def norms(tensors: List[Tensor], p: float):
            return torch.stack(torch._foreach_norm(tensors, p))

        def norms_in_float32(tensors: List[Tensor], p: float):
            return torch.stack(torch._foreach_norm(tensors, p, dtype=6))

        def lion(params: List[Tensor], grads: List[Tensor], averages: List[Tensor], lr: float, beta1: float, beta2: float, decay: float):
            torch._foreach_mul_(params, 1.0 - lr * decay)
            updates = torch._foreach_lerp(averages, grads, 1.0 - beta1)
            torch._foreach_sign_(updates)
            torch._foreach_add_(params, updates, alpha=-lr)
            torch._foreach_lerp_(averages, grads, 1.0 - beta2)


        """;

    private static readonly Lazy<jit.CompilationUnit> _script = new(static () => jit.compile(Source));

    /// <summary>Adds a scalar tensor to each of <paramref name="tensors"/>.</summary>
    internal static void Add(Tensor[] tensors, Tensor value) => _script.Value.invoke("advance", [tensors, value]);

    /// <summary>The p-norm of each tensor, as one vector; half precision is summed and returned in float32.</summary>
    internal static Tensor Norms(Tensor[] tensors, double p)
    {
        using Scalar order = p;
        var half = tensors[0].dtype is ScalarType.Float16 or ScalarType.BFloat16;
        return (Tensor)_script.Value.invoke(half ? "norms_in_float32" : "norms", [tensors, order]);
    }

    /// <summary>One step of Lion (Chen et al. 2023) over whole lists; the temporary memory is that of one list.</summary>
    internal static void Lion(Tensor[] parameters, Tensor[] gradients, Tensor[] averages, double lr, double beta1, double beta2, double decay)
    {
        using Scalar rate = lr, first = beta1, second = beta2, weightDecay = decay;
        _script.Value.invoke("lion", [parameters, gradients, averages, rate, first, second, weightDecay]);
    }
}
