using System.Reflection;
using AccelerateSharp.Optimizers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>What an optimizer remembers of one parameter, by name: tensors as they are, numbers as tensors without dimensions.</summary>
internal sealed class ParameterStateFields(Parameter parameter, OptimizerState state)
{
    public Parameter Parameter { get; } = parameter;

    /// <summary>Every field that has a value now.</summary>
    public IEnumerable<(string Name, Tensor Value)> Values() => state is ParameterState ours ? ours.Tensors.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => (pair.Key, pair.Value)) : Fields().Select(field => (field.Name, Value: Read(field))).Where(pair => pair.Value is not null).Select(pair => (pair.Name, pair.Value!));

    /// <summary>Sets a field. The optimizer owns the tensor from then on.</summary>
    /// <returns>False if the optimizer has no such field.</returns>
    public bool Set(string name, Tensor value)
    {
        if (state is ParameterState ours)
        {
            ours.Set(name, value);
            return true;
        }

        if (Fields().FirstOrDefault(field => field.Name == name) is not { } field) return false;
        if (field.FieldType == typeof(Tensor))
        {
            (field.GetValue(state) as Tensor)?.Dispose();
            field.SetValue(state, value.DetachFromDisposeScope());
            return true;
        }

        using var number = value.to(ScalarType.Float64);
        field.SetValue(state, Convert.ChangeType(number.item<double>(), field.FieldType, System.Globalization.CultureInfo.InvariantCulture));
        value.Dispose();
        return true;
    }

    private IEnumerable<FieldInfo> Fields() => state.GetType()
        .GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
        .Where(field => field.FieldType == typeof(Tensor) || field.FieldType == typeof(long) || field.FieldType == typeof(int) || field.FieldType == typeof(double) || field.FieldType == typeof(bool))
        .OrderBy(field => field.Name, StringComparer.Ordinal);

    private Tensor? Read(FieldInfo field) => field.GetValue(state) switch
    {
        Tensor value => value,
        long number => tensor(number),
        int number => tensor((long)number),
        double number => tensor(number, ScalarType.Float64),
        bool flag => tensor(flag ? 1L : 0L),
        _ => null,
    };
}
