using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>libtorch's fused Adam and AdamW: one pass over parameters, gradients and states, on CPU and CUDA.</summary>
/// <param name="Decoupled">AdamW's decay of the weights themselves; else Adam's, which is added to the gradient.</param>
/// <param name="StateDtype">Dtype of the moments; null: the parameter's.</param>
internal sealed record AdamKernel(bool Decoupled, ScalarType? StateDtype)
{
    public const string Average = "exp_avg";
    public const string SquareAverage = "exp_avg_sq";
    public const string MaxSquareAverage = "max_exp_avg_sq";

    private const string Lists = "Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps";
    private const string Rest = "float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()";

    private static readonly TorchOperator _adam = TorchOperator.Get($"aten::_fused_adam_({Lists}, *, float lr, {Rest}");
    private static readonly TorchOperator _adamOnDevice = TorchOperator.Get($"aten::_fused_adam_.tensor_lr({Lists}, *, Tensor lr, {Rest}");
    private static readonly TorchOperator _adamW = TorchOperator.Get($"aten::_fused_adamw_({Lists}, *, float lr, {Rest}");
    private static readonly TorchOperator _adamWOnDevice = TorchOperator.Get($"aten::_fused_adamw_.tensor_lr({Lists}, *, Tensor lr, {Rest}");

    /// <summary>One step for all of <paramref name="updates"/>, whose states are made where they are missing.</summary>
    public void Step(IReadOnlyList<ParameterUpdate> updates, in AdamSettings settings, StepScale scale, DeviceRate? rate = null)
    {
        foreach (var update in updates) Prepare(update, settings.Amsgrad);
        StepCounts.Advance(updates, scale.FoundInf);
        var options = settings;
        TensorColumns.ForEach([.. updates.Select(update => Row(update, options.Amsgrad))], (columns, rows) =>
        {
            var steps = Array.ConvertAll(rows, row => updates[row].State[ParameterState.Step]);
            var device = columns[0][0].device;
            var (onHost, onDevice) = Decoupled ? (_adamW, _adamWOnDevice) : (_adam, _adamOnDevice);
            Tensor[] largest = options.Amsgrad ? columns[4] : [];
            if (rate is null)
            {
                onHost.Call(columns[0], columns[1], columns[2], columns[3], largest, steps, options.LearningRate, options.Beta1, options.Beta2,
                    options.WeightDecay, options.Epsilon, options.Amsgrad, options.Maximize, scale.GradScaleOn(device), scale.FoundInfOn(device));
            }
            else
            {
                onDevice.Call(columns[0], columns[1], columns[2], columns[3], largest, steps, rate.On(device, options.LearningRate), options.Beta1, options.Beta2,
                    options.WeightDecay, options.Epsilon, options.Amsgrad, options.Maximize, scale.GradScaleOn(device), scale.FoundInfOn(device));
            }
        });
    }

    private static Tensor[] Row(ParameterUpdate update, bool amsgrad)
    {
        var state = update.State;
        return amsgrad
            ? [update.Parameter, update.Gradient, state[Average], state[SquareAverage], state[MaxSquareAverage]]
            : [update.Parameter, update.Gradient, state[Average], state[SquareAverage]];
    }

    private void Prepare(ParameterUpdate update, bool amsgrad)
    {
        var state = update.State;
        if (state.IsEmpty)
        {
            state.AddStep();
            state.Set(Average, zeros_like(update.Parameter, StateDtype));
            state.Set(SquareAverage, zeros_like(update.Parameter, StateDtype));
        }

        // amsgrad may be switched on for a run that goes on from a state without it.
        if (amsgrad && !state.TryGet(MaxSquareAverage, out _)) state.Set(MaxSquareAverage, state[SquareAverage].clone());
    }
}

/// <summary>The options of one parameter group at this step.</summary>
internal readonly record struct AdamSettings(
    double LearningRate, double Beta1, double Beta2, double WeightDecay, double Epsilon, bool Amsgrad, bool Maximize);
