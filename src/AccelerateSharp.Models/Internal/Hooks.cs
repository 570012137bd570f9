using System.Collections;
using System.Reflection;
using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch.nn;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Models.Internal;

/// <summary>Whether somebody does something around a module's <c>call</c>, which must then not be gone around.</summary>
internal static class Hooks
{
    private const BindingFlags AnyField = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
    private static readonly string[] _fields = ["pre_hooks", "post_hooks", "module_pre_hooks", "module_post_hooks"];

    public static bool Any(Module module)
    {
        for (var type = module.GetType(); type is not null; type = type.BaseType)
        {
            if (!type.IsGenericType || type.GetGenericTypeDefinition() != typeof(HookableModule<,>)) continue;
            // One before and one after are fp8's.
            var own = Fp8Linear.MayBePassedOver(module) ? 1 : 0;
            return _fields.Any(name => type.GetField(name, AnyField)?.GetValue(module) is ICollection hooks && hooks.Count > (name.StartsWith("module", StringComparison.Ordinal) ? 0 : own));
        }
        return false;
    }
}
