using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Rendezvous;

/// <summary>Opens the store of a job, wherever it is hosted.</summary>
internal static class RendezvousStore
{
    /// <summary>How long rank 0, where it hosts the store, waits at its end for the others.</summary>
    private static readonly TimeSpan _hostPatience = TimeSpan.FromSeconds(30);

    /// <summary>A fresh secret of 256 bits, as hexadecimal text.</summary>
    public static string NewToken() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));

    /// <summary>
    /// Connects this worker to the store of its job: to the launcher's, or else to the one that rank 0 opens here. A world of
    /// one needs no server.
    /// </summary>
    /// <param name="worker">The place of this worker in the job.</param>
    /// <param name="timeout">How long to wait for the host of the store.</param>
    /// <exception cref="TimeoutException">The host of the store did not appear in time.</exception>
    /// <exception cref="RendezvousException">The store refused this worker, or could not be opened.</exception>
    /// <exception cref="InvalidOperationException">The environment lacks the token.</exception>
    public static IRendezvousStore Connect(WorkerEnvironment worker, TimeSpan timeout)
    {
        if (worker.StoreEndpoint is { } endpoint)
        {
            var token = Checked(worker.Token) ?? throw new InvalidOperationException(
                $"{EnvironmentVariables.RendezvousEndpoint}={endpoint} is set without {EnvironmentVariables.RendezvousToken}. "
                + "Start the worker with `accelerate launch`, which sets both, or unset the first.");
            return RendezvousClient.Connect(endpoint, () => token, worker.Generation, timeout);
        }
        return worker.WorldSize == 1 ? new LocalStore() : worker.Rank == 0 ? Host(worker, timeout) : Meet(worker, timeout);
    }

    /// <summary>Rank 0 hosts the store and is its first client.</summary>
    private static RendezvousClient Host(WorkerEnvironment worker, TimeSpan timeout)
    {
        var passed = PassedToken(worker);
        var token = passed ?? NewToken();
        var port = Port(worker);
        var server = RendezvousServer.Start(new RendezvousServerOptions
        {
            Token = token,
            WorldSize = worker.WorldSize,
            Address = worker.IsSingleMachine ? IPAddress.Loopback : Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any,
            Port = port,
        });
        try
        {
            // Only now that the port is ours, so that nobody else can collect the token there.
            if (passed is null) TokenFile.Write(port, token);
            return RendezvousClient.Connect($"127.0.0.1:{Text(port)}", () => token, worker.Generation, timeout, ended: () =>
            {
                server.WaitForClients(_hostPatience);
                if (passed is null) TokenFile.Delete(port);
                server.Dispose();
            });
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>The other ranks wait for rank 0.</summary>
    private static RendezvousClient Meet(WorkerEnvironment worker, TimeSpan timeout)
    {
        var passed = PassedToken(worker);
        var port = Port(worker);
        var host = worker.IsSingleMachine ? "127.0.0.1"
            : worker.MasterAddress.Contains(':', StringComparison.Ordinal) ? $"[{worker.MasterAddress}]" : worker.MasterAddress;
        try
        {
            return RendezvousClient.Connect(
                $"{host}:{Text(port)}", () => passed ?? TokenFile.TryRead(port), worker.Generation, timeout, refusalIsFinal: passed is not null);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"Rank {worker.Rank} waited for rank 0, which did not arrive. {e.Message}", e);
        }
    }

    private static string? PassedToken(WorkerEnvironment worker)
    {
        if (Checked(worker.Token) is { } token) return token;
        return worker.IsSingleMachine ? null : throw new InvalidOperationException(
            $"The job spans {worker.MachineCount} machines, but {EnvironmentVariables.RendezvousToken} is not set. Export it with the same "
            + "secret value on every machine (for instance the output of `openssl rand -hex 32`), so that only workers of this job can join it.");
    }

    private static string? Checked(string? token) =>
        token is null || (token.Length >= 16 && token.All(c => c is > ' ' and < '\x7f'))
            ? token
            : throw new InvalidOperationException(
                $"{EnvironmentVariables.RendezvousToken} must have at least 16 characters, all visible ASCII. Use the output of `openssl rand -hex 32`.");

    private static int Port(WorkerEnvironment worker) => worker.MasterPort + (worker.MasterPortIsTaken ? 1 : 0);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
