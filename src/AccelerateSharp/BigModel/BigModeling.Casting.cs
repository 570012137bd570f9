using System.Text.RegularExpressions;
using AccelerateSharp.BigModel;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public static partial class BigModeling
{
    /// <summary>Keeps the weights of linear and convolution layers in a small dtype, and casts each layer's while it computes.</summary>
    /// <param name="module">The model.</param>
    /// <param name="storageDtype">What weights are kept as; <c>(ScalarType)24</c> is float8_e4m3fn.</param>
    /// <param name="computeDtype">What they are while their layer computes.</param>
    /// <param name="skipModulesPattern">Regular expressions: modules whose dotted names contain a match are left alone, with all below.</param>
    /// <param name="skipModulesClasses">Class names of modules that are left alone, with all below.</param>
    /// <param name="nonBlocking">Passed on to the casts.</param>
    public static void AttachLayerwiseCastingHooks(
        Module module, ScalarType storageDtype, ScalarType computeDtype, IReadOnlyCollection<string>? skipModulesPattern = null,
        IReadOnlyCollection<string>? skipModulesClasses = null, bool nonBlocking = false)
    {
        ArgumentNullException.ThrowIfNull(module);
        List<Regex> patterns = [.. (skipModulesPattern ?? []).Select(pattern => new Regex(pattern, RegexOptions.CultureInvariant))];
        Attach(module, "");

        void Attach(Module current, string name)
        {
            if (skipModulesClasses?.Contains(ModelTensors.ClassName(current)) == true || patterns.Exists(pattern => pattern.IsMatch(name))) return;
            if (current is Linear or Conv1d or Conv2d or Conv3d or ConvTranspose1d or ConvTranspose2d or ConvTranspose3d)
            {
                ModelHooks.AddHookToModule(current, new LayerwiseCastingHook(storageDtype, computeDtype, nonBlocking), append: true);
                return;
            }
            foreach (var (childName, child) in current.named_children()) Attach(child, ModuleNames.Join(name, childName));
        }
    }
}
