using System.Text.RegularExpressions;
using AccelerateSharp.BigModel;
using AccelerateSharp.Models.Gpt2;
using TorchSharp.Modules;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Models.Lora;

/// <summary>Finds the layers that a configuration means, by PEFT's rules.</summary>
internal static class LoraTargets
{
    /// <exception cref="ArgumentException">None is meant, or one that is no linear layer.</exception>
    public static IReadOnlyList<(string Name, Module Layer)> Find(Module model, IReadOnlyList<string> targets)
    {
        var head = (model as CausalLanguageModel)?.Head;
        var all = ModelTensors.Modules(model).DistinctBy(entry => entry.Module, ReferenceEqualityComparer.Instance).ToList();
        var found = all.Where(entry => entry.Name.Length > 0 && targets.Any(target => Matches(entry.Name, entry.Module, target, head))).ToList();
        if (found.Count == 0)
        {
            var names = all.Where(entry => IsLinear(entry.Module)).Select(entry => entry.Name.Split('.')[^1]).Distinct(StringComparer.Ordinal);
            throw new ArgumentException($"LoRA: target_modules ({string.Join(", ", targets)}) names no layer of {model.GetName()}. Its linear layers are {string.Join(", ", names)}.");
        }
        if (found.Find(entry => !IsLinear(entry.Module)) is { Module: not null } other)
            throw new ArgumentException($"LoRA: '{other.Name}' is a {ModelTensors.ClassName(other.Module)}; adapters are for linear layers.");
        return [.. found.Select(entry => (entry.Name, entry.Module))];
    }

    private static bool Matches(string name, Module module, string target, Module? head)
    {
        if (target == LoraConfig.AllLinear) return IsLinear(module) && !ReferenceEquals(module, head);
        if (target.StartsWith(TargetModulesConverter.Pattern, StringComparison.Ordinal))
            return Regex.IsMatch(name, $"^(?:{target[TargetModulesConverter.Pattern.Length..]})$");
        return name == target || name.EndsWith("." + target, StringComparison.Ordinal);
    }

    private static bool IsLinear(Module module) => module is Linear or Conv1D;
}
