using System.Runtime.CompilerServices;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

// libtorch before the first use of TorchSharp, see NativeLibraries.
RuntimeHelpers.RunModuleConstructor(typeof(AccelerateSharp.Internal.Interop.NativeLibraries).Module.ModuleHandle);

// In this process: a generated project would need natives of its own.
var config = DefaultConfig.Instance.AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);
