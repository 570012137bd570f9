Console.WriteLine("accelerate");
