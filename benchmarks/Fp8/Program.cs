// Float8 on this machine's GPU: first whether it is right, then what it costs and gains.
//
//   dotnet run -c Release --project benchmarks/Fp8 -- [check] [kernels] [layers] [--cpu] [--small]
//
// check    our kernels against libtorch's operators, bit for bit; products against bfloat16; a layer's output and gradients
// kernels  quantising, transposing and multiplying alone, in microseconds and in bytes or products per second
// layers   a stack of Llama-like blocks of linear layers, forward and backward, bfloat16 against each recipe
//
// --cpu computes the emulation; --small makes everything small, to rehearse. Exit code 1 if something is wrong.

using AccelerateSharp;
using AccelerateSharp.Benchmarks.Fp8;

var accelerator = new Accelerator(cpu: args.Contains("--cpu"));
var small = args.Contains("--small");
var all = !args.Any(argument => !argument.StartsWith("--", StringComparison.Ordinal));
var right = true;
if (all || args.Contains("check")) right &= Checks.Run(accelerator.Device, small);
if (all || args.Contains("kernels")) Kernels.Run(accelerator.Device, small);
if (all || args.Contains("layers")) Layers.Run(accelerator.Device, small);
return right ? 0 : 1;
