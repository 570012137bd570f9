using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision;

/// <summary>What a forward puts into force ends with it, however it ends.</summary>
[Collection("process state")]
public sealed class ForwardRegionTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Accelerator _accelerator = new(cpu: true, mixedPrecision: MixedPrecision.BF16);
    private readonly Tensor _x = randn(2, 4);

    public void Dispose()
    {
        _accelerator.EndTraining();
        _scope.Dispose();
    }

    private static bool IsOn => Autocast.IsEnabled(DeviceType.CPU);

    [Fact]
    public void An_exception_out_of_forward_ends_it_before_anybody_catches()
    {
        var model = _accelerator.Prepare(new Wrapped((_, _) => throw new TimeoutException()));
        Assert.Throws<TimeoutException>(() =>
        {
            try
            {
                return model.call(_x);
            }
            finally
            {
                Assert.False(IsOn);
                Assert.Equal(0, OpenForwards.Count);
            }
        });
    }

    [Fact]
    public void An_error_of_libtorch_ends_it_too()
    {
        var model = _accelerator.Prepare(new Wrapped((self, _) => self.Layer.call(ones(3, 3))));
        var caught = false;
        try
        {
            _ = model.call(_x);
        }
        catch (Exception) when (!IsOn)
        {
            caught = true;
        }

        Assert.True(caught);
    }

    [Fact]
    public void An_exception_that_forward_catches_changes_nothing()
    {
        var model = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            try
            {
                throw new TimeoutException();
            }
            catch (TimeoutException)
            {
                Assert.True(IsOn);
            }

            return self.Layer.call(x);
        }));
        _ = model.call(_x);
        Assert.False(IsOn);
    }

    [Fact]
    public void What_could_have_been_caught_ends_at_the_next_entry()
    {
        var fail = true;
        var model = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            try
            {
                if (fail) throw new TimeoutException();
            }
            catch (FormatException)
            {
            }

            return self.Layer.call(x);
        }));
        Fail();
        Assert.True(IsOn);
        _accelerator.Autocast().Dispose();
        Assert.False(IsOn);

        Fail();
        fail = false;
        _ = model.call(_x);
        Assert.False(IsOn);
        Assert.Equal(0, OpenForwards.Count);

        fail = true;
        var loss = model.Layer.call(_x).sum();
        Fail();
        _accelerator.Backward(loss);
        Assert.False(IsOn);

        void Fail() => Assert.Throws<TimeoutException>(() => model.call(_x));
    }

    [Fact]
    public void A_model_that_calls_itself_stays_in_force_until_the_outermost_call_ends()
    {
        var depth = 0;
        var model = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            if (++depth < 3) x = self.call(x);
            Assert.True(IsOn);
            return self.Layer.call(x);
        }));
        Assert.Equal(float32, model.call(_x).dtype);
        Assert.False(IsOn);
        Assert.Equal(0, OpenForwards.Count);
    }

    [Fact]
    public void Prepared_models_nest_and_an_inner_failure_leaves_the_outer_one_in_force()
    {
        var inner = _accelerator.Prepare(new Wrapped((_, _) => throw new TimeoutException()));
        var outer = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            try
            {
                return inner.call(x);
            }
            catch (TimeoutException)
            {
                return self.Layer.call(x);
            }
        }));
        var seen = ScalarType.Float32;
        outer.Layer.register_forward_hook((_, _, y) =>
        {
            seen = y.dtype;
            return y;
        });
        _ = outer.call(_x);
        Assert.Equal(bfloat16, seen);
        Assert.False(IsOn);
        Assert.Equal(0, OpenForwards.Count);
    }

    [Fact]
    public void Each_thread_has_its_own()
    {
        using var entered = new ManualResetEvent(false);
        using var leave = new ManualResetEvent(false);
        var model = _accelerator.Prepare(new Wrapped((self, x) =>
        {
            entered.Set();
            leave.WaitOne();
            Assert.True(IsOn);
            return self.Layer.call(x);
        }));
        var thread = new Thread(() => _ = model.call(_x));
        thread.Start();
        entered.WaitOne();
        Assert.False(IsOn);
        leave.Set();
        thread.Join();
        _ = model.call(_x);
        Assert.False(IsOn);
    }
}
